import type { Clock } from '../time/clock.ts'
import { Condition, pause } from '../time/condition.ts'

/** Clients write an ack in a later turn of the event loop. */
export const ACK_WRITTEN_MS = 5

/**
 * Copies that are sent while their originals are still to be acked. No handler starts meanwhile: one that
 * ends the process, time and again, would double all that is held with it, itself included, each time.
 */
export class CopiesInFlight {
  readonly #clock: Clock
  readonly #landed = new Condition()
  #count = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Whether there is one. */
  get isAny(): boolean {
    return this.#count > 0
  }

  /** Sends a copy and acks its original, which may both reject. */
  async replace(send: () => Promise<void>, ack: () => Promise<void> | void): Promise<void> {
    this.#count += 1
    try {
      await send()
      await ack()
    } finally {
      this.#count -= 1
      if (this.#count === 0) this.#landed.notifyAll()
    }
  }

  /** Resolves when there is none, or when `signal` aborts. */
  async landed(signal: AbortSignal): Promise<void> {
    while (this.isAny && !signal.aborted) {
      await this.#landed.wait(this.#clock, Number.POSITIVE_INFINITY, signal)
      await pause(this.#clock, ACK_WRITTEN_MS, signal)
    }
  }
}
