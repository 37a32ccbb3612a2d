import type { Clock } from './clock.ts'

/**
 * Something that others wait for, each with a bound of their own. Waiters are woken in the order in which
 * they came.
 */
export class Condition {
  readonly #waiters = new Set<(woken: boolean) => void>()

  get size(): number {
    return this.#waiters.size
  }

  /** Wakes all that wait now. */
  open(): void {
    for (const wake of this.#waiters) wake(true)
  }

  /**
   * Resolves with true when the gate opens, with false after `delayMs` or when `signal` aborts. Never
   * rejects.
   */
  wait(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<boolean> {
    if (signal?.aborted) return Promise.resolve(false)
    return new Promise((resolve) => {
      const end = (woken: boolean): void => {
        this.#waiters.delete(end)
        timer.cancel()
        signal?.removeEventListener('abort', aborted)
        resolve(woken)
      }
      const aborted = (): void => end(false)
      const timer = clock.after(delayMs, () => end(false))
      signal?.addEventListener('abort', aborted)
      this.#waiters.add(end)
    })
  }
}
