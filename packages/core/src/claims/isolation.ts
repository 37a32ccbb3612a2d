import type { Clock } from '../time/clock.ts'
import { Condition } from '../time/condition.ts'
import type { WaitingPlace } from './waiters.ts'

/** How a delivery waits for its turn. */
export interface TurnWays {
  /** Ends the wait. */
  readonly signal: AbortSignal | undefined
  readonly place?: WaitingPlace | undefined
}

/**
 * Lets a suspect run alone. A message whose last starts all ended with their process may be what ends it, or
 * may only have been in flight with it; so before it is given up it gets one more start, during which nothing
 * else of this deduplicator starts or runs. Suspects take turns, in the order in which they came.
 *
 * A turn has a bound, after which it holds nobody up any more: neither a handler that never ends may keep the
 * suspects waiting, nor a suspect the others. Each wait is bounded by the turns before it.
 */
export class Isolation {
  readonly #clock: Clock
  readonly #turnMs: number
  readonly #changed = new Condition()
  #running = 0
  #suspects = 0
  /** The turn that is taken now. */
  #turn: object | undefined
  /** When a turn was last taken or over. */
  #turnedMs = Number.NEGATIVE_INFINITY

  constructor(clock: Clock, turnMs: number) {
    this.#clock = clock
    this.#turnMs = turnMs
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

  /**
   * Resolves when no suspect is left, when a turn takes too long, or when `signal` aborts. Answers whether no
   * suspect is left.
   */
  async shared({ signal, place }: TurnWays): Promise<boolean> {
    await this.#until((isOverdue) => isOverdue || !this.isReserved, { signal, place })
    return !this.isReserved
  }

  /**
   * Reserves the next free turn at once, and resolves when it has come, and `before` has ended. Answers the
   * function that lets the others go on, or `undefined` when `signal` aborted and there was no free turn.
   */
  async alone({ signal, place }: TurnWays, before?: Promise<unknown>): Promise<(() => void) | undefined> {
    const turn = {}
    this.#suspects += 1
    await before
    // Taken in the step that sees that it is free: others are woken at the same moment.
    await this.#until(
      (isOverdue) => {
        const isFree = this.#turn === undefined && this.#running === 0
        if (isFree || isOverdue) this.#take(turn)
        return isFree || isOverdue
      },
      { signal, place },
    )
    const isMine = this.#turn === turn
    if (!isMine) {
      this.#leave()
      return undefined
    }
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      if (this.#turn === turn) this.#take(undefined)
      this.#leave()
    }
  }

  /** Resolves when nothing runs, or after `delayMs`. */
  async idle(delayMs: number): Promise<void> {
    const untilMs = this.#clock.monotonicMs() + delayMs
    while (this.#running > 0 && this.#clock.monotonicMs() < untilMs) {
      await this.#changed.wait(this.#clock, untilMs - this.#clock.monotonicMs())
    }
  }

  #take(turn: object | undefined): void {
    this.#turn = turn
    this.#turnedMs = this.#clock.monotonicMs()
  }

  #leave(): void {
    this.#suspects -= 1
    this.#changed.notifyAll()
  }

  async #until(isSo: (isOverdue: boolean) => boolean, { signal, place }: TurnWays): Promise<void> {
    const sinceMs = this.#clock.monotonicMs()
    let goOn: (() => void) | undefined
    for (;;) {
      const leftMs = Math.max(sinceMs, this.#turnedMs) + this.#turnMs - this.#clock.monotonicMs()
      // Whoever does not wait may have what is free.
      if (isSo(leftMs <= 0) || signal?.aborted === true) break
      goOn ??= place?.lineUp()
      await this.#changed.wait(this.#clock, leftMs, signal)
    }
    goOn?.()
  }
}
