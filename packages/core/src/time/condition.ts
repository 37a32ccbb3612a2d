import type { Clock, Timer } from './clock.ts'

/**
 * A condition that others wait for, as in a monitor: it has no state, and a notification reaches those who
 * wait at that moment, in the order in which they came.
 */
export class Condition {
  readonly #waiters = new Set<(notified: boolean) => void>()

  /** How many wait now. */
  get size(): number {
    return this.#waiters.size
  }

  /** Wakes all that wait now. */
  notifyAll(): void {
    for (const wake of this.#waiters) wake(true)
  }

  /** Wakes the one that has waited longest. Answers whether there was one. */
  notifyOne(): boolean {
    for (const wake of this.#waiters) {
      wake(true)
      return true
    }
    return false
  }

  /**
   * Resolves with true when it is notified, with false after `delayMs` or when `signal` aborts. Never
   * rejects. `Infinity` waits for as long as it takes.
   */
  wait(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<boolean> {
    if (signal?.aborted) return Promise.resolve(false)
    return new Promise((resolve) => {
      let timer: Timer | undefined
      const end = (notified: boolean): void => {
        this.#waiters.delete(end)
        timer?.cancel()
        signal?.removeEventListener('abort', aborted)
        resolve(notified)
      }
      const aborted = (): void => end(false)
      if (delayMs !== Number.POSITIVE_INFINITY) timer = clock.after(delayMs, () => end(false))
      signal?.addEventListener('abort', aborted)
      this.#waiters.add(end)
    })
  }
}

/** Waits for a time, or until `signal` aborts. Answers whether the time has passed. */
export async function pause(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<boolean> {
  await new Condition().wait(clock, delayMs, signal)
  return signal?.aborted !== true
}
