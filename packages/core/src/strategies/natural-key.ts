import type { Start } from '../claims/start.ts'
import type { ProcessOutcome } from '../delivery/outcome.ts'
import { isOncemqError, OptionError, received } from '../errors.ts'
import type { KeyedStore, Store } from '../store/contract.ts'
import { givenOptions, missingMethod, requireFunction } from '../validate.ts'
import type { DuplicateKeyOf } from './duplicate-key.ts'
import { violatedKeyIn } from './duplicate-key.ts'
import { completeInTransaction, inTransaction, requireTransactions } from './in-transaction.ts'
import { outsideTransaction } from './outside-transaction.ts'
import type { CheckedSettings, Explain, Strategy, StrategyServices, TransactionStrategy } from './strategy.ts'

/** Options of {@link naturalKey}. */
export interface NaturalKeyOptions {
  /**
   * The unique key that a second handling of the same event violates, named as the database names it:
   * `orders_pkey` on PostgreSQL, `orders.PRIMARY` (table and index) on MySQL and MariaDB, `orders.id` (table
   * and columns, as in `orders.shop, orders.number`) on SQLite, `orders._id_` (collection and index) on
   * MongoDB.
   *
   * Of several keys that one row violates the database reports the one that it checks first. Where a second
   * handling violates more than one, name each of them.
   */
  constraint: string | readonly string[]
}

/** Options of {@link naturalKey} for handlers that write with a client of their own. */
export interface OwnClientOptions extends NaturalKeyOptions {
  /**
   * How to read the duplicate-key errors of the database that the handler writes to: `duplicateKeyOf` of
   * `@oncemq/postgres`, `mysql`, `sqlite` or `mongodb`. Given, the handler runs outside of any transaction of
   * the store, `context.tx` is undefined, and the constraint is not looked for at start.
   */
  duplicateKeyOf: DuplicateKeyOf
}

/**
 * For handlers whose own insert is the guard: the business key is unique in the database, so a second insert
 * of it fails, and that failure, on the constraint named here and on no other, makes the delivery a duplicate
 * that is acked. There is no record of ours. Any other error, other unique violations too, is the handler's
 * failure.
 *
 * The handler gets `context.tx`: all that it writes commits together or not at all, and only an error that
 * the database itself answered on `tx` counts. With `duplicateKeyOf` it writes with a client of its own
 * instead, and has to make its statements one transaction itself: whatever it wrote before the duplicate
 * stays otherwise.
 *
 * Starts are counted by the broker, so a message whose handler ends its process is given up as exactly as the
 * broker counts, and two deliveries of one event may run at the same time: the database lets one of them
 * commit. What the handler does outside of the database is repeated with each start.
 * @throws OptionError for an option that is wrong; at start for a store without transactions, and
 *   `ONCEMQ_TABLE_UNFIT` when the database has no such unique key, or several.
 * @example
 * const dedup = createDeduplicator({
 *   store: new PostgresStore({ pool }),
 *   consumerGroup: 'orders',
 *   strategy: naturalKey({ constraint: 'orders_pkey' }),
 * })
 */
export function naturalKey(options: OwnClientOptions): Strategy
export function naturalKey(options: NaturalKeyOptions): TransactionStrategy
export function naturalKey(options: NaturalKeyOptions | OwnClientOptions): Strategy | TransactionStrategy {
  const { keys, duplicateKeyOf } = checked(options)
  return duplicateKeyOf === undefined ? inTheStore(keys) : withOwnClient(keys, duplicateKeyOf)
}

const shared = {
  name: 'naturalKey',
  usesRecords: false,
  allowsDropIn: false,
  runsWithoutClaim: true,
} as const

function inTheStore(keys: ReadonlySet<string>): TransactionStrategy {
  return {
    ...shared,
    givesTx: true,
    // A handler that hangs keeps the database's locks.
    defaultHandlerTimeoutMs: (leaseMs) => leaseMs,
    check: requireKeyedStore,
    completeOnce: completeInTransaction,
    prepare: async (store) => {
      for (const key of keys) await (store as KeyedStore<unknown>).requireUniqueKey(key)
      return []
    },
    run: async (start, handler, services) => {
      const store = services.store as Store as KeyedStore<unknown>
      const explain: Explain<unknown> = (error, tx) => {
        const names = tx === undefined ? deferred(error, store) : store.violatedKey(error, tx)
        return names.some((name) => keys.has(name)) ? duplicate(start, services) : undefined
      }
      return told(await inTransaction(start, handler, services, explain), start, services)
    },
  }
}

function withOwnClient(keys: ReadonlySet<string>, duplicateKeyOf: DuplicateKeyOf): Strategy {
  return {
    ...shared,
    defaultHandlerTimeoutMs: () => 0,
    check: () => undefined,
    run: async (start, handler, services) => {
      const explain: Explain<undefined> = (error) =>
        violatedKeyIn(error, duplicateKeyOf).some((name) => keys.has(name))
          ? duplicate(start, services)
          : undefined
      return told(await outsideTransaction(start, handler, services, explain), start, services)
    },
  }
}

/** A deferred constraint is checked by the commit, whose error the store has made its own. */
function deferred(error: unknown, store: KeyedStore<unknown>): readonly string[] {
  if (!isOncemqError(error) || error.code !== 'ONCEMQ_STORE_REFUSED') return []
  return store.violatedKey(error.cause, undefined)
}

function duplicate(start: Start, { events }: StrategyServices): ProcessOutcome {
  events.emit('duplicate', () => ({ key: start.key, source: 'constraint' }))
  return { status: 'duplicate', result: undefined }
}

function told(outcome: ProcessOutcome, { key }: Start, { events }: StrategyServices): ProcessOutcome {
  if (outcome.status === 'completed') events.emit('completed', () => ({ key, epoch: 0 }))
  return outcome
}

function requireKeyedStore(settings: CheckedSettings): void {
  requireTransactions('naturalKey', settings)
  const without = missingMethod(settings.store, ['requireUniqueKey', 'violatedKey'])
  if (without === undefined) return
  throw new OptionError(
    `strategy: expected a store that knows its unique keys for 'naturalKey', received ${without}; ` +
      `give naturalKey the duplicateKeyOf of the database that your handler writes to`,
  )
}

const known = new Set(['constraint', 'duplicateKeyOf'])
const CONSTRAINT_MAX = 300

interface Checked {
  readonly keys: ReadonlySet<string>
  readonly duplicateKeyOf: DuplicateKeyOf | undefined
}

function checked(options: NaturalKeyOptions | OwnClientOptions): Checked {
  const { constraint, duplicateKeyOf } = givenOptions<Partial<OwnClientOptions>>('naturalKey', options, known)
  const keys: readonly unknown[] = Array.isArray(constraint) ? constraint : [constraint]
  if (keys.length === 0) throw refusal('an empty array')
  for (const key of keys) {
    if (typeof key !== 'string') throw refusal(received(key))
    if (key === '' || key.length > CONSTRAINT_MAX) throw refusal(`one of ${key.length} characters`)
  }
  const given = duplicateKeyOf !== undefined
  if (given)
    requireFunction('duplicateKeyOf', duplicateKeyOf, 'the one that the package of your database exports')
  return { keys: new Set(keys as readonly string[]), duplicateKeyOf }
}

function refusal(what: string): OptionError {
  return new OptionError(
    `constraint: expected a string of 1 to ${CONSTRAINT_MAX} characters, or several, received ${what}; ` +
      `name the unique key as the database does, such as 'orders_pkey'`,
  )
}
