import { backoffMs, jittered } from '../time/backoff.ts'
import type { Clock } from '../time/clock.ts'
import { Condition } from '../time/condition.ts'
import type { Random } from '../time/random.ts'

const POLL_BACKOFF = { firstMs: 25, factor: 1.6, maxMs: 1000 }

export interface BusyWaitLimits {
  readonly busyTimeoutMs: number
  readonly waitersMax: number
}

/** Deliveries that wait for a key that someone else is at: bounded in number and, each, in time. */
export class Waiters {
  readonly #limits: BusyWaitLimits
  readonly #clock: Clock
  readonly #random: Random
  readonly #polls = new Condition()
  #waiters = 0

  constructor(limits: BusyWaitLimits, clock: Clock, random: Random) {
    this.#limits = limits
    this.#clock = clock
    this.#random = random
  }

  /** One delivery's wait: its bound starts with its first pause. */
  begin(signal: AbortSignal | undefined): DeliveryWait {
    let untilMs: number | undefined
    let polls = 0
    const pause = async (gate: Condition, delayMs: number): Promise<boolean> => {
      const nowMs = this.#clock.monotonicMs()
      untilMs ??= nowMs + this.#limits.busyTimeoutMs
      const leftMs = untilMs - nowMs
      if (leftMs <= 0 || signal?.aborted || this.#waiters >= this.#limits.waitersMax) return false
      this.#waiters += 1
      await gate.wait(this.#clock, Math.min(delayMs, leftMs), signal)
      this.#waiters -= 1
      return true
    }
    return {
      forLocal: (gate) => pause(gate, this.#limits.busyTimeoutMs),
      forLease: (leaseRemainingMs) => {
        const pollMs = jittered(backoffMs(POLL_BACKOFF, polls), this.#random)
        polls += 1
        return pause(this.#polls, Math.max(1, Math.min(pollMs, leaseRemainingMs)))
      },
    }
  }
}

/** Each answers whether to ask again; false means that the wait has come to its bound. */
export interface DeliveryWait {
  /** Waits for a delivery of the same process. */
  forLocal(gate: Condition): Promise<boolean>
  /** Waits before asking the store once more for a key that runs elsewhere. */
  forLease(leaseRemainingMs: number): Promise<boolean>
}
