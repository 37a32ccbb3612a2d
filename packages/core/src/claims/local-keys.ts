import type { Clock } from '../time/clock.ts'
import { Condition } from '../time/condition.ts'

/** What is remembered of a key that was done a moment ago. */
export interface DoneKey {
  readonly fingerprint: string | undefined
  readonly result: Uint8Array | undefined
}

/** How the delivery ended for which others of its process waited. */
export interface LocalEnd {
  readonly done: DoneKey | undefined
}

/** A key as this process knows it: in flight, and when that has ended done a moment ago, or nothing. */
export class LocalKey {
  isInFlight = true
  /** Forgotten meanwhile: what it ends with is not to be remembered. */
  isForgotten = false
  done: DoneKey | undefined
  doneUntilMs = 0
  #waiters: Condition | undefined
  #end: LocalEnd | undefined

  /** Resolves when the key's delivery ends; with `undefined` after `delayMs` or when `signal` aborts. */
  async ended(clock: Clock, delayMs: number, signal: AbortSignal | undefined): Promise<LocalEnd | undefined> {
    // Most keys are gone before anyone waits for them.
    this.#waiters ??= new Condition()
    return (await this.#waiters.wait(clock, delayMs, signal)) ? this.#end : undefined
  }

  /** All that wait are answered by this one end, however large its result: nobody asks the store for it. */
  end(done: DoneKey | undefined): void {
    this.isInFlight = false
    if (this.#waiters === undefined) return
    this.#end = { done }
    this.#waiters.notifyAll()
    queueMicrotask(() => (this.#end = undefined))
  }
}

const RESULT_BYTES_MAX = 4096
const GENERATION_MIN = 64

/**
 * The keys that this process is claiming or processing, each with the deliveries that wait for its end, and
 * the keys done a moment ago, answered without asking the store.
 *
 * Two generations: when the young one is full it becomes the old one, and the old one goes, but for its keys
 * in flight. So a key stays where it is when it ends, at a constant cost. Were it deleted then, the Map would
 * be built anew for every few hundred keys, and all that stands in it at such a moment stays in memory until
 * the whole heap is collected: measured to be a quarter of what a delivery cost the core.
 */
export class LocalKeys {
  /** Is notified when nothing is in flight any more. */
  readonly idle = new Condition()
  readonly #generationMin: number
  readonly #ttlMs: number
  readonly #clock: Clock
  #young = new Map<string, LocalKey>()
  #old = new Map<string, LocalKey>()
  #inFlight = 0

  /** Remembers about `keysMax` keys done, for `ttlMs`. */
  constructor({ keysMax, ttlMs }: { keysMax: number; ttlMs: number }, clock: Clock) {
    this.#generationMin = Math.max(GENERATION_MIN, Math.ceil(keysMax / 2))
    this.#ttlMs = keysMax === 0 ? 0 : ttlMs
    this.#clock = clock
  }

  /** How many are in flight. */
  get inFlight(): number {
    return this.#inFlight
  }

  /** A key that is in flight or was done a moment ago. */
  get(id: string): LocalKey | undefined {
    const known = this.#young.get(id) ?? this.#old.get(id)
    if (known === undefined || known.isInFlight) return known
    return known.done !== undefined && this.#clock.monotonicMs() < known.doneUntilMs ? known : undefined
  }

  /** Adds a key in flight, which must not be known. */
  enter(id: string): LocalKey {
    // At least twice what is in flight: else that alone would fill each young generation at once.
    if (this.#young.size >= Math.max(this.#generationMin, 2 * this.#inFlight)) this.#turn()
    const known = new LocalKey()
    this.#young.set(id, known)
    this.#inFlight += 1
    return known
  }

  /**
   * Ends a key in flight. One that was done here is remembered, but no large result: the store has it. A
   * copy, since the bytes may be cut from a large buffer. One that the store told to be done is not, since
   * how much of its retention is left is not known here: it has no `doneSinceMs`, of the monotonic clock.
   */
  leave(known: LocalKey, done?: DoneKey, doneSinceMs?: number): void {
    if (!known.isInFlight) return
    if (done !== undefined && doneSinceMs !== undefined) this.#remember(known, done, doneSinceMs)
    this.#inFlight -= 1
    known.end(known.isForgotten ? undefined : done)
    if (this.#inFlight === 0) this.idle.notifyAll()
  }

  /** Removes what is remembered of a key. */
  forget(id: string): void {
    for (const generation of [this.#young, this.#old]) {
      const known = generation.get(id)
      if (known === undefined) continue
      known.done = undefined
      known.isForgotten = known.isInFlight
    }
  }

  #remember(known: LocalKey, { fingerprint, result }: DoneKey, sinceMs: number): void {
    if (this.#ttlMs === 0 || known.isForgotten) return
    if (result !== undefined && result.byteLength > RESULT_BYTES_MAX) return
    known.done = { fingerprint, result: result && new Uint8Array(result) }
    known.doneUntilMs = sinceMs + this.#ttlMs
  }

  #turn(): void {
    const gone = this.#old
    this.#old = this.#young
    this.#young = new Map()
    for (const [id, known] of gone) if (known.isInFlight) this.#young.set(id, known)
  }
}
