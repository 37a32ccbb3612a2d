import { payloadHash } from '../delivery/identity.ts'
import type { Clock } from '../time/clock.ts'
import { Condition } from '../time/condition.ts'
import type { Passage } from './passage.ts'

/** For so long a message stays here whose key is busy, and for so long it waits for its turn to leave. */
const STAY_MS = 1000

class BusyKey {
  /** Since when one message after the other found it busy; `undefined` when its claim has ended since. */
  sinceMs: number | undefined
  /** How many messages that are held found it so. */
  messages = 0
  /** The one that is on its way to the broker. */
  leaving: Passage | undefined
  readonly landed = new Condition()
}

/**
 * Keys that are busy, as the messages that are held here find them. When the process ends, each message that
 * is on its way to the broker is there twice, as copy and original, and the one that ends it may have the
 * very same key. So that they do not become more and more:
 *
 * - None leaves in the first second. Whether a handler ends its process shows at once, mostly.
 * - After that one leaves after the other: the end of the process adds one message of the key at most.
 */
export class BusyKeys {
  readonly #clock: Clock
  readonly #keys = new Map<string, BusyKey>()
  readonly #names = new Map<Passage, string>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** A message finds its key busy. Answers for how long it is to stay before it may leave. */
  found(message: Passage): number {
    const key = this.#keyOf(message)
    const nowMs = this.#clock.monotonicMs()
    key.sinceMs ??= nowMs
    return Math.max(0, key.sinceMs + STAY_MS - nowMs)
  }

  /** Waits for a message's turn to leave. Answers whether it has come: then it leaves, until it `landed`. */
  async departs(message: Passage, signal: AbortSignal): Promise<boolean> {
    const key = this.#keyOf(message)
    const { sinceMs } = key
    while (key.leaving !== undefined) {
      if (!(await key.landed.wait(this.#clock, STAY_MS, signal))) return false
    }
    // The claim that it waited for has ended meanwhile, and perhaps there is another.
    if (key.sinceMs !== sinceMs) return false
    key.leaving = message
    return true
  }

  /** A message has left, or could not. */
  landed(message: Passage): void {
    const key = this.#known(message)
    if (key?.leaving !== message) return
    key.leaving = undefined
    key.landed.notifyOne()
  }

  /** A message had its key's claim, and has it no more: whoever is granted it next may end the process. */
  freed(message: Passage): void {
    const key = this.#keys.size === 0 ? undefined : this.#keys.get(nameOf(message))
    if (key !== undefined) key.sinceMs = undefined
  }

  /** A message is held no more. */
  gone(message: Passage): void {
    const name = this.#names.get(message)
    const key = this.#known(message)
    if (name === undefined || key === undefined) return
    this.#names.delete(message)
    key.messages -= 1
    if (key.messages === 0) this.#keys.delete(name)
  }

  #known(message: Passage): BusyKey | undefined {
    const name = this.#names.get(message)
    return name === undefined ? undefined : this.#keys.get(name)
  }

  #keyOf(message: Passage): BusyKey {
    const known = this.#known(message)
    if (known !== undefined) return known
    const name = nameOf(message)
    const key = this.#keys.get(name) ?? new BusyKey()
    this.#keys.set(name, key)
    this.#names.set(message, name)
    key.messages += 1
    return key
  }
}

/** Where a payload stands for a missing key, that is the key. */
function nameOf({ held, key }: Passage): string {
  return JSON.stringify([held.source, held.hops ?? 0, key ?? payloadHash(held.body)])
}
