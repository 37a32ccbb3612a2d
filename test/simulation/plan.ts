import type { LightLoad } from '@oncemq/core/store'
import { Dice } from './dice.ts'

/** Of strict group commit, of few calls beside each other, and of as many as a distant store takes. */
const LIGHTS: readonly LightLoad[] = [
  { callsMax: 1, entriesMin: 1, entriesPerMs: 0 },
  { callsMax: 3, entriesMin: 4, entriesPerMs: 0 },
  { callsMax: 8, entriesMin: 1, entriesPerMs: 0.1 },
]

/**
 * What the handler of a key does, each time and for ever; `flaky` only while there are faults. `cutting`: it
 * loses the connection of its transaction.
 */
export type KeyKind = 'fine' | 'flaky' | 'failing' | 'permanent' | 'poison' | 'hung' | 'cutting'

/** How likely the faults of one run are, and how large everything is. All of it follows from the seed. */
export interface Plan {
  readonly seed: number
  readonly strategy: 'lease' | 'transactional'
  readonly workers: number
  readonly messages: number
  readonly keys: number
  readonly window: number
  readonly concurrency: number
  readonly batchMax: number
  readonly batchesInFlightMax: number
  readonly batchMin: number
  readonly light: LightLoad
  readonly leaseMs: number
  readonly storeTimeoutMs: number
  readonly busyTimeoutMs: number
  readonly waitersMax: number
  readonly outageHoldMs: number
  readonly doneCacheMax: number
  readonly attemptsMax: number
  readonly handlerTimeoutMs: number
  readonly retryFirstMs: number
  readonly retryMaxMs: number
  /** For how long a message may be held, less than the broker's own bound. */
  readonly holdMs: number
  readonly ackTimeoutMs: number
  /** How often the broker returns a message before it deletes it. */
  readonly deliveryLimit: number
  /** Whether the broker drops a copy that comes back into a queue named in its old deaths. */
  readonly dropsCycles: boolean
  /** Whether messages have an order among each other, which a source of another kind keeps. */
  readonly isOrdered: boolean
  /** After this nothing fails any more, and everything must come to its end. */
  readonly faultsEndMs: number
  readonly handlerMsMax: number
  readonly storeMsMax: number
  /** The longest outage of the store, brownout or refusal. */
  readonly outageMsMax: number
  readonly alarmMsMax: number
  readonly chances: {
    readonly flaky: number
    readonly failing: number
    readonly permanent: number
    readonly poison: number
    readonly hung: number
    readonly cutting: number
    readonly unkeyed: number
    readonly unsendable: number
    readonly middleware: number
    readonly requestLost: number
    readonly replyLost: number
    readonly errorBefore: number
    readonly errorAfter: number
    readonly partly: number
    readonly slow: number
    readonly outage: number
    readonly brownout: number
    readonly refusal: number
    readonly brokerDown: number
    readonly alarm: number
    readonly confirmLost: number
    readonly stuck: number
    readonly kill: number
    readonly pause: number
    readonly cut: number
    readonly close: number
    readonly closeDedup: number
    readonly twice: number
  }
}

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000

/** The run that belongs to a seed. */
export function planOf(seed: number): Plan {
  const dice = new Dice(seed)
  const leaseMs = dice.pick([500, 1000, 5000, 30_000])
  const storeTimeoutMs = Math.max(50, Math.floor(leaseMs / dice.pick([1, 3, 6])))
  const messages = dice.integer(5, 30)
  const rolled = chancesOf(dice)
  // Suspects wait for a handler that hangs no longer than a lease: see Isolation. What cannot be copied and
  // waits for one that hangs stops the consumer for up to a day at a time.
  const hung = rolled.poison > 0 || rolled.unsendable > 0 ? 0 : rolled.hung
  // Not by the dice, so that each other seed is the schedule that it was.
  const chances = { ...rolled, hung, cutting: seed % 10 === 9 ? 0.2 : 0 }
  const window = dice.pick([1, 2, 8, 32])
  const outageMsMax = outageOf(dice, leaseMs)
  const isOrdered = dice.chance(0.2)
  // A handler that runs for longer than a lease is no longer waited for by suspects: see Isolation.
  const handlerMsMax = dice.pick([0, 20, leaseMs / 4, chances.poison > 0 ? leaseMs / 4 : 3 * leaseMs])
  return {
    seed,
    strategy: dice.chance(0.3) ? 'transactional' : 'lease',
    workers: dice.integer(1, 3),
    messages,
    keys: isOrdered ? messages : dice.integer(1, messages),
    window,
    concurrency: dice.pick([1, window, Math.max(1, window >> 1)]),
    batchMax: dice.pick([1, 2, 5, 64]),
    batchesInFlightMax: dice.pick([1, 2, 4]),
    batchMin: dice.pick([1, 2, 64]),
    light: LIGHTS[seed % LIGHTS.length] as LightLoad,
    leaseMs,
    storeTimeoutMs,
    // Else each copy of a key that ends the process goes round, and some are left twice when it does.
    busyTimeoutMs: dice.pick(chances.poison > 0 ? [leaseMs] : [0, 100, leaseMs]),
    waitersMax: dice.pick([0, 2, 1000]),
    outageHoldMs: dice.pick([0, 200, 5000]),
    doneCacheMax: dice.pick([0, 2, 1000]),
    attemptsMax: dice.pick(chances.hung > 0 ? [1, 2, 3] : [1, 2, 3, 16, 16]),
    handlerTimeoutMs: 4 * leaseMs,
    retryFirstMs: dice.pick([200, 1000, 5000]),
    retryMaxMs: dice.pick([5000, MINUTE_MS]),
    holdMs: dice.pick([5, 25]) * MINUTE_MS,
    ackTimeoutMs: 30 * MINUTE_MS,
    // What keeps an order among messages cannot replace one by a copy, and has no such limit.
    deliveryLimit: isOrdered ? Number.POSITIVE_INFINITY : 20,
    dropsCycles: dice.chance(0.4),
    isOrdered,
    faultsEndMs: 10 * leaseMs + 2 * outageMsMax,
    handlerMsMax: Math.floor(handlerMsMax),
    // A healthy store answers within its timeout: one way is less than half of it.
    storeMsMax: dice.pick([1, Math.floor(storeTimeoutMs / 10), Math.floor(storeTimeoutMs / 2.5)]),
    outageMsMax,
    alarmMsMax: dice.pick([10 * leaseMs, 10 * leaseMs, MINUTE_MS, 4 * HOUR_MS]),
    chances,
  }
}

/** Mostly some leases; sometimes hours, and rarely two days. */
function outageOf(dice: Dice, leaseMs: number): number {
  const chance = dice.fraction()
  if (chance < 0.004) return 48 * HOUR_MS
  if (chance < 0.04) return 2 * HOUR_MS
  return chance < 0.2 ? 10 * MINUTE_MS : 3 * leaseMs
}

function chancesOf(dice: Dice): Omit<Plan['chances'], 'cutting'> {
  const some = (most: number, often = 0.5): number => (dice.chance(often) ? dice.fraction() * most : 0)
  return {
    flaky: some(0.5),
    failing: some(0.2),
    permanent: some(0.1),
    poison: some(0.15, 0.3),
    hung: some(0.1, 0.3),
    unkeyed: some(0.3),
    unsendable: some(0.2, 0.3),
    middleware: some(0.1, 0.3),
    requestLost: some(0.1),
    replyLost: some(0.1),
    errorBefore: some(0.2),
    errorAfter: some(0.2),
    partly: some(0.2),
    slow: some(0.1),
    outage: some(0.6),
    brownout: some(0.4),
    refusal: some(0.3),
    brokerDown: some(0.3),
    alarm: some(0.4),
    confirmLost: some(0.1),
    stuck: some(0.3, 0.3),
    kill: some(0.5),
    pause: some(0.5),
    cut: some(0.5),
    close: some(0.3),
    closeDedup: some(0.3),
    twice: some(0.3),
  }
}

/** Times in which something does not work, within the faulty time. */
export interface Period {
  readonly fromMs: number
  readonly toMs: number
}

export function periodsOf(plan: Plan, dice: Dice, chance: number, msMax: number): Period[] {
  if (!dice.chance(chance)) return []
  return Array.from({ length: dice.integer(1, 3) }, () => {
    const fromMs = dice.integer(0, plan.faultsEndMs)
    // Short ones are as likely as long ones, whatever the longest is.
    const lengthMs = Math.floor(msMax ** dice.fraction())
    return { fromMs, toMs: Math.min(plan.faultsEndMs, fromMs + lengthMs) }
  })
}

export function isWithin(periods: readonly Period[], nowMs: number): boolean {
  return periods.some(({ fromMs, toMs }) => fromMs <= nowMs && nowMs < toMs)
}
