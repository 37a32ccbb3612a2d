import type { Clock } from '../time/clock.ts'
import { Condition } from '../time/condition.ts'

/**
 * Lets a suspect run alone. A message whose last starts all ended with their process may be what ends it, or
 * may only have been in flight with it; so before it is given up it gets one more start, during which nothing
 * else of this deduplicator starts or runs. Suspects go one after the other.
 *
 * Both waits have a bound: a handler that never ends must not keep suspects waiting, nor a suspect the others.
 */
export class Isolation {
  readonly #clock: Clock
  readonly #boundMs: number
  readonly #changed = new Condition()
  #running = 0
  #suspects = 0
  #isReserved = false

  constructor(clock: Clock, boundMs: number) {
    this.#clock = clock
    this.#boundMs = boundMs
  }

  /** How many handlers run. */
  get running(): number {
    return this.#running
  }

  /** Whether a suspect waits or runs, so that nobody else may start. */
  get isReserved(): boolean {
    return this.#suspects > 0
  }

  started(): void {
    this.#running += 1
  }

  ended(): void {
    this.#running -= 1
    if (this.#suspects > 0 || this.#running === 0) this.#changed.notifyAll()
  }

  /** Resolves when no suspect is left, at its bound, or when `signal` aborts. */
  async shared(signal: AbortSignal | undefined): Promise<void> {
    await this.#until(() => !this.isReserved, signal)
  }

  /** Resolves when nothing else runs, or at its bound. Answers the function that lets the others go on. */
  async alone(signal: AbortSignal | undefined): Promise<() => void> {
    this.#suspects += 1
    let isMine = false
    // Reserved as soon as it is found free: all that wait look at once.
    await this.#until(() => {
      if (this.#isReserved || this.#running > 0) return false
      isMine = true
      this.#isReserved = true
      return true
    }, signal)
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      if (isMine) this.#isReserved = false
      this.#suspects -= 1
      this.#changed.notifyAll()
    }
  }

  /** Resolves when nothing runs, or after `delayMs`. */
  async idle(delayMs: number): Promise<void> {
    const untilMs = this.#clock.monotonicMs() + delayMs
    while (this.#running > 0 && this.#clock.monotonicMs() < untilMs) {
      await this.#changed.wait(this.#clock, untilMs - this.#clock.monotonicMs())
    }
  }

  async #until(isSo: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    // The bound is for one that never ends: as long as others come to their end, it starts anew.
    while (!isSo() && signal?.aborted !== true) {
      if (!(await this.#changed.wait(this.#clock, this.#boundMs, signal))) return
    }
  }
}
