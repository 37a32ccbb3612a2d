import type { Clock } from './time/clock.ts'
import { systemClock } from './time/clock.ts'
import { OptionError, received, receivedPlain } from './errors.ts'
import type { Random } from './time/random.ts'
import { systemRandom } from './time/random.ts'
import type { Store, TransactionalStore } from './store/contract.ts'
import { noStore } from './store/no-store.ts'
import { requireStore } from './store/require-store.ts'
import type { Logger } from './observe/logger.ts'
import { lease } from './strategies/lease.ts'
import type { Strategy } from './strategies/strategy.ts'
import { transactional } from './strategies/transactional.ts'
import {
  givenOptions,
  missingMethod,
  requireClock,
  requireInteger,
  requireMethods,
  requireOneOf,
  requireRandom,
} from './validate.ts'

/** Options of `createDeduplicator`. All times are milliseconds. */
export interface DeduplicatorOptions<Tx = undefined> {
  /**
   * Where the records are. The deduplicator opens it; the last one to close closes it. It may be left out
   * with a strategy that needs none.
   */
  store: Store | TransactionalStore<Tx>
  /**
   * Who consumes: the same key is processed once per group. Name the purpose (`billing`), not the process. 1
   * to 200 characters.
   */
  consumerGroup: string
  /**
   * How the handler's effect and the record of it are kept together. `lease`: for effects outside the
   * database. `transactional`: the handler gets `context.tx`, and its writes commit together with the record;
   * needs a store that is transactional. Or a strategy object, such as `naturalKey({ ... })` or
   * `stateMachine({ ... })`, which need no record, or `transactional({ batch: { max: 64 } })`.
   * @default 'lease'
   */
  strategy?: 'lease' | 'transactional' | Strategy<Tx>
  /**
   * How long a crashed worker's keys wait. A running handler renews it at a third. 100 to 86400000.
   * @default 30000
   */
  leaseMs?: number
  /**
   * How long a key stays done: at least the longest time after which the broker or a producer may send the
   * message again. From `leaseMs` to 3153600000000 (100 years).
   * @default 86400000
   */
  retentionMs?: number
  /**
   * How often a handler is started for a message, crashes included, before the message is dead-lettered. 1 to
   * 30000.
   * @default 16
   */
  attemptsMax?: number
  /**
   * How long a handler may run before `context.signal` aborts, nobody waits for it any more, and it counts as
   * failed; in a transaction, what it wrote is rolled back. 0 is no bound. By default `leaseMs` with
   * strategy `transactional`, where a handler that hangs keeps the database's locks; else none. 0 to
   * 86400000.
   */
  handlerTimeoutMs?: number
  /**
   * How long a delivery waits for a key that is busy before it is given back to the broker for later. 0 to
   * 86400000.
   * @default 30000
   */
  busyTimeoutMs?: number
  /**
   * How many deliveries may wait for busy keys at a time; further ones are given back at once. 0 to 1000000.
   * @default 1000
   */
  waitersMax?: number
  /**
   * How long `run` waits for a store that is down before it throws. Consumers hold their messages for as long
   * as their broker allows. 0 to 86400000.
   * @default 10000
   */
  outageHoldMs?: number
  /**
   * After how long a call of the store counts as failed. 1 to `leaseMs`.
   * @default 5000
   */
  storeTimeoutMs?: number
  /**
   * What happens while the store is down: `hold` (nothing is processed) or `process` (without protection).
   * @default 'hold'
   */
  onStoreDown?: 'hold' | 'process'
  /**
   * What happens to a message without a key: `process` it without protection, `reject` it, or `hash` its
   * payload.
   * @default 'process'
   */
  onMissingKey?: 'process' | 'reject' | 'hash'
  /**
   * What happens to a message whose key is what a program writes where it has no id: `undefined`, `null`,
   * `NaN`, `None`, `[object Object]`, spaces, the UUID of zeros. `reject` it as invalid, or `accept` it as
   * any other key.
   * @default 'reject'
   */
  onPlaceholderKey?: 'reject' | 'accept'
  /**
   * Whether the queue or topic that a message came from is part of its identity (`source`), so that one event
   * that reaches two queues is handled for each, or not (`group`): then it is handled once per consumer
   * group.
   * @default 'source'
   */
  keyScope?: 'source' | 'group'
  /**
   * Whether a hash of the payload is kept, so that a key that arrives again with another payload is noticed.
   * @default false
   */
  fingerprint?: boolean
  /**
   * What happens to a key that arrives again with another payload: `dead-letter`, `process` without
   * protection, or `ack`.
   * @default 'dead-letter'
   */
  onConflict?: 'dead-letter' | 'process' | 'ack'
  /**
   * What happens when the handler succeeded and the store stayed out of reach until the lease ended: `ack`
   * the message (its effect is there) or `retry` it (it may run again).
   * @default 'ack'
   */
  onUnconfirmed?: 'ack' | 'retry'
  /**
   * How many keys done a moment ago are answered from memory; 0 turns it off, as it is when left out with a
   * store that this process alone sees. 0 to 10000000.
   * @default 10000
   */
  doneCacheMax?: number
  /**
   * For how long they are: as long, a key forgotten by another process may still be taken for done. 0 to
   * 60000.
   * @default 5000
   */
  doneCacheMs?: number
  /**
   * Whether the readable key stands beside its hash in the store. Turn it off where keys are personal data.
   * Left out, it does not in a store that this process alone sees.
   * @default true
   */
  storeReadableKey?: boolean
  /**
   * How often expired records are swept, for stores that need it; 0 leaves it to you. 0 to 86400000.
   * @default 60000
   */
  sweepEveryMs?: number
  /**
   * Codes of `error` findings of the store that you accept.
   * @default []
   */
  acceptFindings?: readonly string[]
  /**
   * Gets what a person should know, as sentences: pino, winston, `console`, anything with `warn`. Without
   * one, and without a listener of the event, each kind is a warning of the process, once.
   */
  logger?: Logger
  /** Time, for tests and simulation. The system's by default. */
  clock?: Clock
  /** Randomness, for tests and simulation. The system's by default. */
  random?: Random
}

/** Options as they come: a strategy may need no store. */
export type GivenOptions<Tx> = Omit<DeduplicatorOptions<Tx>, 'store'> &
  Partial<Pick<DeduplicatorOptions<Tx>, 'store'>>

/** The defaults of {@link DeduplicatorOptions}, the one place that has them. */
export const deduplicatorDefaults = Object.freeze({
  strategy: 'lease' as 'lease' | 'transactional',
  leaseMs: 30_000,
  retentionMs: 86_400_000,
  attemptsMax: 16,
  busyTimeoutMs: 30_000,
  waitersMax: 1000,
  outageHoldMs: 10_000,
  storeTimeoutMs: 5000,
  onStoreDown: 'hold' as 'hold' | 'process',
  onMissingKey: 'process' as 'process' | 'reject' | 'hash',
  onPlaceholderKey: 'reject' as 'reject' | 'accept',
  keyScope: 'source' as 'source' | 'group',
  fingerprint: false,
  onConflict: 'dead-letter' as 'dead-letter' | 'process' | 'ack',
  onUnconfirmed: 'ack' as 'ack' | 'retry',
  doneCacheMax: 10_000,
  doneCacheMs: 5000,
  storeReadableKey: true,
  sweepEveryMs: 60_000,
  acceptFindings: Object.freeze([]) as readonly string[],
})

/** Options as the core uses them: complete, checked and frozen. */
export type Settings<Tx> = Readonly<
  Required<Omit<DeduplicatorOptions<Tx>, 'strategy' | 'logger'>> & {
    strategy: Strategy<Tx>
    logger: Logger | undefined
  }
>

const DAY_MS = 86_400_000

const integers = {
  leaseMs: [100, DAY_MS],
  retentionMs: [100, DAY_MS * 36_500],
  attemptsMax: [1, 30_000],
  handlerTimeoutMs: [0, DAY_MS],
  busyTimeoutMs: [0, DAY_MS],
  waitersMax: [0, 1_000_000],
  outageHoldMs: [0, DAY_MS],
  storeTimeoutMs: [1, DAY_MS],
  doneCacheMax: [0, 10_000_000],
  doneCacheMs: [0, 60_000],
  sweepEveryMs: [0, DAY_MS],
} as const

const choices = {
  onStoreDown: ['hold', 'process'],
  onMissingKey: ['process', 'reject', 'hash'],
  onPlaceholderKey: ['reject', 'accept'],
  keyScope: ['source', 'group'],
  onConflict: ['dead-letter', 'process', 'ack'],
  onUnconfirmed: ['ack', 'retry'],
  fingerprint: [true, false],
  storeReadableKey: [true, false],
} as const

const known = new Set([
  ...Object.keys(deduplicatorDefaults),
  'store',
  'consumerGroup',
  'handlerTimeoutMs',
  'logger',
  'clock',
  'random',
])

/**
 * Checks the options once. @throws OptionError that says what was expected, what was received, and the
 * remedy.
 */
export function settingsOf<Tx>(options: GivenOptions<Tx>): Settings<Tx> {
  const given = givenOptions('createDeduplicator', options, known)
  const strategy = strategyOf<Tx>(given.strategy ?? deduplicatorDefaults.strategy)
  const leaseMs = given.leaseMs ?? deduplicatorDefaults.leaseMs
  const settings = {
    ...deduplicatorDefaults,
    clock: systemClock,
    logger: undefined,
    random: given.random ?? systemRandom(),
    handlerTimeoutMs: strategy.defaultHandlerTimeoutMs(leaseMs),
    ...(strategy.needsStore === false && { store: noStore() }),
    ...given,
    strategy,
  } as Mutable<Settings<Tx>>
  requireStore(settings.store)
  requireClock(settings.clock)
  requireRandom(settings.random)
  if (settings.logger !== undefined)
    requireMethods('logger', settings.logger, ['warn'], 'give console, or a logger of pino or winston')
  requireGroup(settings.consumerGroup)
  for (const [name, [min, max]] of Object.entries(integers)) {
    requireInteger(name, settings[name as keyof typeof integers], min, max)
  }
  for (const [name, allowed] of Object.entries(choices)) {
    requireOneOf(name, settings[name as keyof typeof choices], allowed)
  }
  requireCodes(settings.acceptFindings)
  settings.acceptFindings = Object.freeze([...settings.acceptFindings])
  settings.storeTimeoutMs = Math.min(settings.storeTimeoutMs, given.storeTimeoutMs ?? leaseMs)
  if (settings.store.guarantees.sharedBy === 'process') Object.assign(settings, ownStoreDefaults(given))
  requireCombinations(settings)
  strategy.check(settings)
  return Object.freeze(settings)
}

type Mutable<Type> = { -readonly [Name in keyof Type]: Type[Name] }

const strategies = Object.freeze({ lease, transactional })

function strategyOf<Tx>(given: unknown): Strategy<Tx> {
  if (typeof given === 'string' && Object.hasOwn(strategies, given)) {
    return strategies[given as keyof typeof strategies]() as unknown as Strategy<Tx>
  }
  const methods = ['run', 'check', 'defaultHandlerTimeoutMs']
  const without = typeof given === 'string' ? receivedPlain(given) : missingMethod(given, methods)
  if (without === undefined) return given as Strategy<Tx>
  throw new OptionError(
    `strategy: expected one of 'lease', 'transactional', or a strategy object, received ${without}; ` +
      (typeof given === 'function' ? 'call it, such as watermark()' : 'leave it out for the default'),
  )
}

/** What a store in this process does without: it is as near as memory, and no person looks into it. */
function ownStoreDefaults(given: Pick<DeduplicatorOptions, 'doneCacheMax' | 'storeReadableKey'>) {
  const { doneCacheMax = 0, storeReadableKey = false } = given
  return { doneCacheMax, storeReadableKey }
}

function requireCodes(codes: unknown): void {
  const given: readonly unknown[] | undefined = Array.isArray(codes) ? codes : undefined
  const wrong = given?.find((code) => typeof code !== 'string')
  if (given !== undefined && wrong === undefined) return
  const what = given === undefined ? received(codes) : `one with ${received(wrong)}`
  throw new OptionError(`acceptFindings: expected an array of codes, received ${what}; give [] for none`)
}

function requireGroup(group: unknown): void {
  if (typeof group === 'string' && group.length >= 1 && group.length <= 200) return
  const what = typeof group === 'string' ? `one of ${group.length} characters` : received(group)
  throw new OptionError(
    `consumerGroup: expected a string of 1 to 200 characters, received ${what}; ` +
      `name what this consumer does, such as 'billing'`,
  )
}

interface Times {
  readonly leaseMs: number
  readonly retentionMs: number
  readonly storeTimeoutMs: number
}

function requireCombinations({ leaseMs, retentionMs, storeTimeoutMs }: Times): void {
  if (retentionMs < leaseMs) {
    throw new OptionError(
      `retentionMs: expected at least leaseMs (${leaseMs}), received ${retentionMs}; ` +
        `keep keys for as long as a message may be delivered again`,
    )
  }
  if (storeTimeoutMs > leaseMs) {
    throw new OptionError(
      `storeTimeoutMs: expected at most leaseMs (${leaseMs}), received ${storeTimeoutMs}; ` +
        `an answer after the lease is of no use`,
    )
  }
}
