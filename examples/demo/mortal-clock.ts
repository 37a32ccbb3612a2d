import type { Clock, Timer } from '@oncemq/core/store'
import { systemClock } from '@oncemq/core/store'

/** The system's time for a service that shares its process with others: its timers end when it dies. */
export class MortalClock implements Clock {
  readonly #timers = new Set<Timer>()
  #isDead = false

  nowMs(): number {
    return systemClock.nowMs()
  }

  monotonicMs(): number {
    return systemClock.monotonicMs()
  }

  after(delayMs: number, action: () => void, kind?: 'background'): Timer {
    if (this.#isDead) return { cancel: () => undefined }
    const timer = systemClock.after(
      delayMs,
      () => {
        this.#timers.delete(timer)
        action()
      },
      kind,
    )
    this.#timers.add(timer)
    return timer
  }

  die(): void {
    this.#isDead = true
    for (const timer of this.#timers) timer.cancel()
  }
}
