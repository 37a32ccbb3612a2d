import { backoffMs, jittered } from '../time/backoff.ts'
import type { Clock, Timer } from '../time/clock.ts'
import type { OncemqError } from '../errors.ts'
import type { EventHub } from '../observe/events.ts'
import { Condition } from '../time/condition.ts'
import type { Random } from '../time/random.ts'

const PROBE_BACKOFF = { firstMs: 50, factor: 2, maxMs: 5000 }

/**
 * Whether the store is up. After a failure one probe at a time asks it, with growing waits, while everyone
 * else waits here; so a store that comes back meets one caller and then a full batch, not a herd.
 *
 *   up ──fail(error)──▶ down ──probe fails──▶ down, after a longer wait
 *    ▲                    │
 *    └──probe succeeds────┘  and all that wait are woken in the order in which they came
 */
export class Outage {
  readonly #probe: () => Promise<void>
  readonly #clock: Clock
  readonly #random: Random
  readonly #events: EventHub
  readonly #recovery = new Condition()
  #error: OncemqError | undefined
  #sinceMs = 0
  #timer: Timer | undefined
  #closed = false

  constructor(probe: () => Promise<void>, clock: Clock, random: Random, events: EventHub) {
    this.#probe = probe
    this.#clock = clock
    this.#random = random
    this.#events = events
  }

  /** Why the store is down; `undefined` when it is up. */
  get error(): OncemqError | undefined {
    return this.#error
  }

  /** Says that the store failed. The first one starts the probing. */
  fail(error: OncemqError): void {
    const wasUp = this.#error === undefined
    this.#error = error
    if (!wasUp || this.#closed) return
    this.#sinceMs = this.#clock.monotonicMs()
    this.#events.emit('outage', () => ({ error }))
    this.#schedule(0)
  }

  /** Resolves with true as soon as the store is up, with false after `delayMs` or when `signal` aborts. */
  recovered(delayMs: number, signal?: AbortSignal): Promise<boolean> {
    if (this.#error === undefined) return Promise.resolve(true)
    if (this.#closed) return Promise.resolve(false)
    return this.#recovery.wait(this.#clock, delayMs, signal)
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#recovery.open()
  }

  #schedule(count: number): void {
    const delayMs = jittered(backoffMs(PROBE_BACKOFF, count), this.#random)
    this.#timer = this.#clock.after(delayMs, () => void this.#ask(count), 'background')
  }

  async #ask(count: number): Promise<void> {
    try {
      await this.#probe()
    } catch {
      // The calls have told their failure as an event already.
      if (!this.#closed) this.#schedule(count + 1)
      return
    }
    this.#error = undefined
    this.#events.emit('recovered', () => ({ downMs: this.#clock.monotonicMs() - this.#sinceMs }))
    this.#recovery.open()
  }
}
