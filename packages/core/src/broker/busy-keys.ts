import { payloadHash } from '../delivery/identity.ts'
import type { Clock } from '../time/clock.ts'
import { Condition, pause } from '../time/condition.ts'
import { ACK_WRITTEN_MS } from './copies-in-flight.ts'
import type { Passage } from './passage.ts'

/** Whoever holds the claim of a busy key may be done before its lease ends. */
export const LOOK_AGAIN_MS = 1000
/** For so long a message stays here whose key is busy, and for so long it waits for its turn to leave. */
const STAY_MS = 1000
/** For so long a start waits for what is on its way: a broker in an alarm confirms nothing. */
const LANDING_MAX_MS = 5000

class BusyKey {
  readonly name: string
  /** Since when one message after the other found it busy; `undefined` when its claim has ended since. */
  sinceMs: number | undefined
  /** How many messages that are held found it so. */
  messages = 0
  /** Those that are on their way to the broker. */
  readonly leaving = new Set<Passage>()
  /** How many are to start when these have landed. */
  starting = 0
  readonly landed = new Condition()
  /** Aborts when the last attempt has ended. */
  ending = new AbortController()

  constructor(name: string) {
    this.name = name
  }
}

/**
 * Keys that are busy, as the messages that are held here find them. When the process ends, each message that
 * is on its way to the broker is there twice, as copy and original, and the one that ends it may have the
 * very same key. So that they do not become more and more:
 *
 * - None is started while another is on its way, and none leaves in the first second after a start. Whether a
 *   handler ends its process shows at once, mostly.
 * - After that one leaves after the other: the end of the process adds one message of the key at most.
 */
export class BusyKeys {
  readonly #clock: Clock
  readonly #keys = new Map<string, BusyKey>()
  /** Of each message that has found its key busy. */
  readonly #found = new Map<Passage, BusyKey>()
  readonly #leaving = new Map<Passage, BusyKey>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * A message finds its key busy. Answers for how long it is to stay before it may leave, and what aborts
   * when the key's last attempt has ended: it ends with it, before what is received then is started.
   */
  found(message: Passage): { readonly staysMs: number; readonly ending: AbortSignal } {
    const key = this.#keyOf(message)
    key.sinceMs ??= this.#clock.monotonicMs()
    return { staysMs: this.#stayMs(key), ending: key.ending.signal }
  }

  /** Waits for a message's turn to leave. Answers whether it has come: then it leaves, until it `landed`. */
  async departs(message: Passage, signal: AbortSignal): Promise<boolean> {
    const key = this.#keyOf(message)
    const { sinceMs } = key
    while (key.leaving.size > 0) {
      if (!(await key.landed.wait(this.#clock, STAY_MS, signal))) return false
    }
    // The claim that it waited for has ended meanwhile, or another has begun.
    if (key.starting > 0 || key.sinceMs !== sinceMs) return false
    this.#leaves(message, key)
    return true
  }

  /** A message is put aside, whatever others of its key do. It leaves until it `landed`. */
  putAside(message: Passage): void {
    const key = this.#held(message)
    if (key !== undefined) this.#leaves(message, key)
  }

  /** A message has left, or could not. */
  landed(message: Passage): void {
    const key = this.#leaving.get(message)
    if (key === undefined) return
    this.#leaving.delete(message)
    key.leaving.delete(message)
    if (key.leaving.size === 0) key.landed.notifyAll()
  }

  /**
   * A message is granted its key. From now on none leaves; answers when those have landed that are on their
   * way, `undefined` for at once.
   */
  granted(message: Passage): Promise<void> | undefined {
    const key = this.#held(message)
    if (key === undefined) return undefined
    key.sinceMs = this.#clock.monotonicMs()
    return key.leaving.size === 0 ? undefined : this.#landing(key)
  }

  /** A message had its key's claim, and has it no more: whoever is granted it next may end the process. */
  freed(message: Passage): void {
    const key = this.#held(message)
    if (key !== undefined) key.sinceMs = undefined
  }

  /** A message was put aside after the last attempt of its key. */
  ended(message: Passage): void {
    this.freed(message)
    const key = this.#held(message)
    if (key === undefined) return
    key.ending.abort()
    key.ending = new AbortController()
  }

  /** A message is held no more. */
  gone(message: Passage): void {
    const key = this.#found.get(message)
    if (key === undefined) return
    this.#found.delete(message)
    key.messages -= 1
    if (key.messages === 0) this.#keys.delete(key.name)
  }

  async #landing(key: BusyKey): Promise<void> {
    const untilMs = this.#clock.monotonicMs() + LANDING_MAX_MS
    key.starting += 1
    for (let leftMs = LANDING_MAX_MS; key.leaving.size > 0 && leftMs > 0;) {
      await key.landed.wait(this.#clock, leftMs)
      leftMs = untilMs - this.#clock.monotonicMs()
    }
    await pause(this.#clock, ACK_WRITTEN_MS)
    key.starting -= 1
    key.sinceMs = this.#clock.monotonicMs()
  }

  #leaves(message: Passage, key: BusyKey): void {
    key.leaving.add(message)
    this.#leaving.set(message, key)
  }

  #stayMs({ sinceMs, starting }: BusyKey): number {
    if (starting > 0) return STAY_MS
    const nowMs = this.#clock.monotonicMs()
    return Math.max(0, (sinceMs ?? nowMs) + STAY_MS - nowMs)
  }

  /** Its key, if a message that is held here has found it busy. */
  #held(message: Passage): BusyKey | undefined {
    return this.#keys.size === 0 ? undefined : this.#keys.get(nameOf(message))
  }

  #keyOf(message: Passage): BusyKey {
    const found = this.#found.get(message)
    if (found !== undefined) return found
    const name = nameOf(message)
    const key = this.#keys.get(name) ?? new BusyKey(name)
    this.#keys.set(name, key)
    this.#found.set(message, key)
    key.messages += 1
    return key
  }
}

/** Where a payload stands for a missing key, that is the key. */
function nameOf({ held, key }: Passage): string {
  return JSON.stringify([held.source, held.hops ?? 0, key ?? payloadHash(held.body)])
}
