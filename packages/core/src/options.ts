import type { Clock } from './time/clock.ts'
import { systemClock } from './time/clock.ts'
import { OptionError, received } from './errors.ts'
import type { Random } from './time/random.ts'
import { systemRandom } from './time/random.ts'
import type { Store, TransactionalStore } from './store/contract.ts'
import { givenOptions, requireInteger, requireOneOf } from './validate.ts'

/** How the handler's effect and the record of it are kept together. */
export type Strategy = 'lease' | 'transactional'

/** Options of `createDeduplicator`. All times are milliseconds. */
export interface DeduplicatorOptions<Tx = undefined> {
  /** Where the records are. The deduplicator opens it; the last one to close closes it. */
  store: Store | TransactionalStore<Tx>
  /**
   * Who consumes: the same key is processed once per group. Name the purpose (`billing`), not the process. 1
   * to 200 characters.
   */
  consumerGroup: string
  /**
   * `lease`: for effects outside the database. `transactional`: the handler gets `context.tx`, and its writes
   * commit together with the record; needs a store that is transactional.
   * @default 'lease'
   */
  strategy?: Strategy
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
   * How long a delivery waits for a store that is down before it is given back and the consumer pauses. 0 to
   * 86400000.
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
   * Whether a hash of the payload is kept, so that a key that comes again with another payload is noticed.
   * @default false
   */
  fingerprint?: boolean
  /**
   * What happens to a key that comes again with another payload: `dead-letter`, `process` without protection,
   * or `ack`.
   * @default 'dead-letter'
   */
  onConflict?: 'dead-letter' | 'process' | 'ack'
  /**
   * What happens when the handler succeeded and the store stayed out of reach until the lease ended: `ack`
   * the message (its effect is there) or `requeue` it (it may run again).
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
  /** Time, for tests and simulation. The system's by default. */
  clock?: Clock
  /** Randomness, for tests and simulation. The system's by default. */
  random?: Random
}

/** The defaults of {@link DeduplicatorOptions}, the one place that has them. */
export const deduplicatorDefaults = Object.freeze({
  strategy: 'lease' as Strategy,
  leaseMs: 30_000,
  retentionMs: 86_400_000,
  attemptsMax: 16,
  busyTimeoutMs: 30_000,
  waitersMax: 1000,
  outageHoldMs: 10_000,
  storeTimeoutMs: 5000,
  onStoreDown: 'hold' as 'hold' | 'process',
  onMissingKey: 'process' as 'process' | 'reject' | 'hash',
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
export type Settings<Tx> = Readonly<Required<DeduplicatorOptions<Tx>>>

const DAY_MS = 86_400_000
const BATCH_BOUND = 1_000_000

const integers = {
  leaseMs: [100, DAY_MS],
  retentionMs: [100, DAY_MS * 36_500],
  attemptsMax: [1, 30_000],
  busyTimeoutMs: [0, DAY_MS],
  waitersMax: [0, 1_000_000],
  outageHoldMs: [0, DAY_MS],
  storeTimeoutMs: [1, DAY_MS],
  doneCacheMax: [0, 10_000_000],
  doneCacheMs: [0, 60_000],
  sweepEveryMs: [0, DAY_MS],
} as const

const choices = {
  strategy: ['lease', 'transactional'],
  onStoreDown: ['hold', 'process'],
  onMissingKey: ['process', 'reject', 'hash'],
  onConflict: ['dead-letter', 'process', 'ack'],
  onUnconfirmed: ['ack', 'retry'],
  fingerprint: [true, false],
  storeReadableKey: [true, false],
} as const

const known = new Set([...Object.keys(deduplicatorDefaults), 'store', 'consumerGroup', 'clock', 'random'])

/**
 * Checks the options once. @throws OptionError that says what was expected, what was received, and the
 * remedy.
 */
export function settingsOf<Tx>(options: DeduplicatorOptions<Tx>): Settings<Tx> {
  const given = givenOptions('createDeduplicator', options, known)
  const settings = {
    ...deduplicatorDefaults,
    clock: systemClock,
    random: given.random ?? systemRandom(),
    ...given,
  } as Required<DeduplicatorOptions<Tx>>
  requireStore(settings.store)
  requireMethods('clock', settings.clock, ['nowMs', 'monotonicMs', 'after'])
  requireMethods('random', settings.random, ['claimId', 'fraction'])
  requireGroup(settings.consumerGroup)
  for (const [name, [min, max]] of Object.entries(integers)) {
    requireInteger(name, settings[name as keyof typeof integers], min, max)
  }
  for (const [name, allowed] of Object.entries(choices)) {
    requireOneOf(name, settings[name as keyof typeof choices], allowed)
  }
  requireCodes(settings.acceptFindings)
  settings.acceptFindings = Object.freeze([...settings.acceptFindings])
  settings.storeTimeoutMs = Math.min(settings.storeTimeoutMs, given.storeTimeoutMs ?? settings.leaseMs)
  if (settings.store.guarantees.sharedBy === 'process') Object.assign(settings, ownStoreDefaults(given))
  requireCombinations(settings)
  return Object.freeze(settings)
}

/** What a store in this process does without: it is as near as memory, and no person looks into it. */
function ownStoreDefaults(given: Pick<DeduplicatorOptions, 'doneCacheMax' | 'storeReadableKey'>) {
  const { doneCacheMax = 0, storeReadableKey = false } = given
  return { doneCacheMax, storeReadableKey }
}

const STORE_METHODS = ['open', 'claim', 'update', 'inspect', 'forget', 'close']

function requireStore(store: unknown): asserts store is Store {
  const without = missingMethod(store, STORE_METHODS)
  if (without !== undefined) {
    throw new OptionError(
      `store: expected a store of oncemq, received ${without}; ` +
        `pass one around your database, such as new SqliteStore({ path }) or new MemoryStore()`,
    )
  }
  const { guarantees, batching } = store as Partial<Store>
  requireInteger('store.batching.batchMax', batching?.batchMax, 1, BATCH_BOUND)
  requireInteger('store.batching.batchesInFlightMax', batching?.batchesInFlightMax, 1, BATCH_BOUND)
  if (batching?.batchMin !== undefined)
    requireInteger('store.batching.batchMin', batching.batchMin, 1, batching.batchMax)
  requireOneOf('store.guarantees.transactional', guarantees?.transactional ?? null, [true, false])
}

function requireMethods(name: string, value: unknown, methods: readonly string[]): void {
  const without = missingMethod(value, methods)
  if (without === undefined) return
  throw new OptionError(
    `${name}: expected an object with ${methods.map((method) => `${method}()`).join(', ')}, ` +
      `received ${without}; leave it out for the default`,
  )
}

/** What a value is said to be when it has not all the methods. */
function missingMethod(value: unknown, methods: readonly string[]): string | undefined {
  if (typeof value !== 'object' || value === null) return received(value)
  const missing = methods.find((method) => typeof (value as Record<string, unknown>)[method] !== 'function')
  return missing === undefined ? undefined : `${received(value)} without ${missing}()`
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

function requireCombinations<Tx>(settings: Settings<Tx>): void {
  const { leaseMs, retentionMs, storeTimeoutMs, strategy, store } = settings
  if (retentionMs < leaseMs) {
    throw new OptionError(
      `retentionMs: expected at least leaseMs (${leaseMs}), received ${retentionMs}; ` +
        `keep keys for as long as a message may come again`,
    )
  }
  if (storeTimeoutMs > leaseMs) {
    throw new OptionError(
      `storeTimeoutMs: expected at most leaseMs (${leaseMs}), received ${storeTimeoutMs}; ` +
        `an answer after the lease is of no use`,
    )
  }
  if (strategy !== 'transactional') return
  if (!store.guarantees.transactional || missingMethod(store, ['transaction']) !== undefined) {
    throw new OptionError(
      `strategy: expected a store with transactions for 'transactional', received '${store.name}' without; ` +
        `use strategy 'lease', or a store that has them`,
    )
  }
  if (settings.onStoreDown === 'process') {
    throw new OptionError(
      `onStoreDown: expected 'hold' with strategy 'transactional', received 'process'; ` +
        `without its store there is no transaction to give to the handler`,
    )
  }
}
