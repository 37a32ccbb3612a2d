import type { Clock } from '../time/clock.ts'
import { backoffMs, jittered } from '../time/backoff.ts'
import { Condition } from '../time/condition.ts'
import type { Random } from '../time/random.ts'
import type { LocalEnd, LocalKey } from './local-keys.ts'

const POLL_BACKOFF = { firstMs: 25, factor: 1.6, maxMs: 1000 }

/**
 * Where one delivery waits, as its consumer sees it: a broker adapter bounds how much of its window waits,
 * and lets somebody else have the handler's place meanwhile.
 */
export interface WaitingPlace {
  /** The delivery begins to wait for a busy key. False where there is no room: it is `busy` at once. */
  enter(): boolean
  /** It has waited, and goes on when this resolves. */
  leave(): Promise<void> | undefined
  /** The delivery waits for its turn, and keeps its handler's place. Answers what ends that. */
  lineUp(): () => void
  /** Aborts when the place is needed for something else: the delivery is then `busy`. */
  readonly signal?: AbortSignal | undefined
}

export interface WaitLimits {
  readonly busyTimeoutMs: number
  readonly waitersMax: number
}

/** Deliveries that wait for a key that another one holds: bounded in number and, each, in time. */
export class Waiters {
  readonly #limits: WaitLimits
  readonly #clock: Clock
  readonly #random: Random
  readonly #polls = new Condition()
  #count = 0

  constructor(limits: WaitLimits, clock: Clock, random: Random) {
    this.#limits = limits
    this.#clock = clock
    this.#random = random
  }

  /** How many wait now. */
  get count(): number {
    return this.#count
  }

  /** One delivery's wait: its bound starts with its first pause. */
  begin(signal: AbortSignal | undefined, place: WaitingPlace | undefined): DeliveryWait {
    let untilMs: number | undefined
    let polls = 0
    const wait = async <End>(step: (leftMs: number) => Promise<End>): Promise<End | undefined> => {
      const nowMs = this.#clock.monotonicMs()
      untilMs ??= nowMs + this.#limits.busyTimeoutMs
      const leftMs = untilMs - nowMs
      if (leftMs <= 0 || signal?.aborted || this.#count >= this.#limits.waitersMax) return undefined
      if (place?.enter() === false) return undefined
      this.#count += 1
      const end = await step(leftMs)
      this.#count -= 1
      await place?.leave()
      return signal?.aborted ? undefined : end
    }
    return {
      forLocal: (key) => wait((leftMs) => key.ended(this.#clock, leftMs, signal)),
      forLease: async (leaseRemainingMs) => {
        const pollMs = jittered(backoffMs(POLL_BACKOFF, polls), this.#random)
        polls += 1
        const delayMs = Math.max(1, Math.min(pollMs, leaseRemainingMs))
        const isOver = await wait(async (leftMs) => {
          await this.#polls.wait(this.#clock, Math.min(delayMs, leftMs), signal)
          return true
        })
        return isOver === true
      },
    }
  }
}

/** What a delivery is to do after a wait; `undefined` means that the wait has come to its bound. */
export interface DeliveryWait {
  /** Waits for a delivery of the same process. Answers what the key was done with, if it was done. */
  forLocal(key: LocalKey): Promise<LocalEnd | undefined>
  /** Waits before asking the store once more for a key that runs elsewhere. Answers whether to ask. */
  forLease(leaseRemainingMs: number): Promise<boolean>
}
