import type { Clock, Timer } from '@oncemq/core'

interface Alarm {
  readonly atMs: number
  readonly action: () => void
}

const START_MS = Date.UTC(2026, 0, 1)

/** Time that stands still until a test moves it. */
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

  /** Moves time on and calls what is due on the way, in order. */
  advance(byMs: number): void {
    const untilMs = this.#passedMs + byMs
    for (let next = this.#next(untilMs); next !== undefined; next = this.#next(untilMs)) {
      this.#alarms.delete(next)
      this.#passedMs = Math.max(this.#passedMs, next.atMs)
      next.action()
    }
    this.#passedMs = untilMs
  }

  #next(untilMs: number): Alarm | undefined {
    let first: Alarm | undefined
    for (const alarm of this.#alarms) {
      if (alarm.atMs <= untilMs && (first === undefined || alarm.atMs < first.atMs)) first = alarm
    }
    return first
  }
}
