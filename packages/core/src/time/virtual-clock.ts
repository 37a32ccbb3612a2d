import type { Clock, Timer } from './clock.ts'

interface Alarm {
  readonly atMs: number
  readonly action: () => void
}

const START_MS = Date.UTC(2026, 0, 1)

/**
 * Time that stands still until a test moves it, for the option `clock` and for `MemoryStore`.
 * @example
 * const clock = new VirtualClock()
 * const dedup = createDeduplicator({ store: new MemoryStore({ clock }), consumerGroup: 'billing', clock })
 * clock.advance(30_000)
 */
export class VirtualClock implements Clock {
  #passedMs = 0
  readonly #alarms = new Set<Alarm>()

  nowMs(): number {
    return START_MS + this.#passedMs
  }

  monotonicMs(): number {
    return this.#passedMs
  }

  after(delayMs: number, action: () => void): Timer {
    const alarm = { atMs: this.#passedMs + delayMs, action }
    this.#alarms.add(alarm)
    return { cancel: () => void this.#alarms.delete(alarm) }
  }

  /** Milliseconds until the next timer is due, `undefined` when none is set. */
  get nextInMs(): number | undefined {
    const next = this.#next(Number.POSITIVE_INFINITY)
    return next === undefined ? undefined : Math.max(0, next.atMs - this.#passedMs)
  }

  /** Moves time on and calls what is due on the way, in order; promises go on only afterwards. */
  advance(byMs: number): void {
    const untilMs = this.#passedMs + byMs
    for (let next = this.#next(untilMs); next !== undefined; next = this.#next(untilMs)) {
      this.#alarms.delete(next)
      this.#passedMs = Math.max(this.#passedMs, next.atMs)
      next.action()
    }
    this.#passedMs = untilMs
  }

  /** Of several that are due at once, the one that was set first. */
  #next(untilMs: number): Alarm | undefined {
    let first: Alarm | undefined
    for (const alarm of this.#alarms) {
      if (alarm.atMs <= untilMs && (first === undefined || alarm.atMs < first.atMs)) first = alarm
    }
    return first
  }
}
