import type { Strategy } from '@oncemq/core'
import { Dice } from './dice.ts'

/** How likely the faults of one run are, and how large everything is. All of it follows from the seed. */
export interface Plan {
  readonly seed: number
  readonly strategy: Strategy
  readonly workers: number
  readonly messages: number
  readonly keys: number
  readonly prefetch: number
  readonly batchMax: number
  readonly batchesInFlightMax: number
  readonly batchMin: number
  readonly leaseMs: number
  readonly storeTimeoutMs: number
  readonly busyTimeoutMs: number
  readonly waitersMax: number
  readonly outageHoldMs: number
  readonly doneCacheMax: number
  readonly attemptsMax: number
  /** After this nothing fails any more, and everything must come to its end. */
  readonly faultsEndMs: number
  readonly handlerMsMax: number
  readonly storeMsMax: number
  readonly chances: {
    readonly handlerFails: number
    readonly permanent: number
    readonly requestLost: number
    readonly replyLost: number
    readonly errorBefore: number
    readonly errorAfter: number
    readonly partly: number
    readonly slow: number
    readonly outage: number
    readonly kill: number
    readonly pause: number
    readonly cut: number
    readonly twice: number
  }
}

/** The run that belongs to a seed. */
export function planOf(seed: number): Plan {
  const dice = new Dice(seed)
  const leaseMs = dice.pick([500, 1000, 5000, 30_000])
  const some = (most: number): number => (dice.chance(0.5) ? dice.fraction() * most : 0)
  const storeTimeoutMs = Math.max(50, Math.floor(leaseMs / dice.pick([1, 3, 6])))
  const messages = dice.integer(5, 30)
  return {
    seed,
    strategy: dice.chance(0.3) ? 'transactional' : 'lease',
    workers: dice.integer(1, 3),
    messages,
    keys: dice.integer(1, messages),
    prefetch: dice.pick([1, 2, 8, 32]),
    batchMax: dice.pick([1, 2, 5, 64]),
    batchesInFlightMax: dice.pick([1, 2, 4]),
    leaseMs,
    storeTimeoutMs,
    busyTimeoutMs: dice.pick([0, 100, leaseMs]),
    waitersMax: dice.pick([0, 2, 1000]),
    outageHoldMs: dice.pick([0, 200, 5000]),
    doneCacheMax: dice.pick([0, 2, 1000]),
    attemptsMax: dice.chance(0.2) ? dice.integer(1, 3) : 30_000,
    faultsEndMs: 10 * leaseMs,
    handlerMsMax: dice.pick([0, 20, leaseMs, 3 * leaseMs]),
    // A healthy store answers within its timeout: one way is less than half of it.
    storeMsMax: dice.pick([1, Math.floor(storeTimeoutMs / 10), Math.floor(storeTimeoutMs / 2.5)]),
    chances: {
      handlerFails: some(0.4),
      permanent: some(0.1),
      requestLost: some(0.1),
      replyLost: some(0.1),
      errorBefore: some(0.2),
      errorAfter: some(0.2),
      partly: some(0.2),
      slow: some(0.1),
      outage: some(0.6),
      kill: some(0.5),
      pause: some(0.5),
      cut: some(0.5),
      twice: some(0.3),
    },
    // Last, so that each seed keeps the rest of its run.
    batchMin: dice.pick([1, 2, 64]),
  }
}
