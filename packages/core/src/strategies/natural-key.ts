import type { Start } from '../claims/start.ts'
import type { ProcessOutcome } from '../delivery/outcome.ts'
import { isOncemqError, OptionError } from '../errors.ts'
import type { KeyedStore } from '../store/contract.ts'
import { missingMethod } from '../validate.ts'
import type { DuplicateKeyOf } from './duplicate-key.ts'
import { violatedKeyIn } from './duplicate-key.ts'
import { isPermanent } from './failure.ts'
import { completeInTransaction, inTransaction, requireTransactions } from './in-transaction.ts'
import type { NaturalKeyOptions, OwnClientOptions } from './natural-key-options.ts'
import { checked } from './natural-key-options.ts'
import { outsideTransaction } from './outside-transaction.ts'
import { perStore } from './per-store.ts'
import type { CheckedSettings, Explain, Strategy, StrategyServices, TransactionStrategy } from './strategy.ts'

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
 * Any row that violates it makes the whole event a duplicate: of an event that inserts several, name a key
 * that is its own. A `PermanentError` of the handler goes before.
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
  const { names, duplicateKeyOf } = checked(options)
  return duplicateKeyOf === undefined ? inTheStore(names) : withOwnClient(names, duplicateKeyOf)
}

const shared = {
  name: 'naturalKey',
  usesRecords: false,
  needsDurableClaims: true,
  allowsDropIn: false,
  runsWithoutClaim: true,
} as const

function inTheStore(names: readonly string[]): TransactionStrategy {
  const keysOf = perStore((store) => names.map((name) => (store as KeyedStore<unknown>).uniqueKey(name)))
  return {
    ...shared,
    givesTx: true,
    // A handler that hangs keeps the database's locks.
    defaultHandlerTimeoutMs: (leaseMs) => leaseMs,
    check: requireKeyedStore,
    completeOnce: completeInTransaction,
    prepare: async (store) => (await Promise.all(keysOf(store).map((key) => key.check()))).flat(),
    run: async (start, handler, services) => {
      const isGuard: IsGuard = async (error, tx) => {
        const made = tx === undefined ? ofTheEnd(error) : error
        const violated = keysOf(services.store).map(async (key) => key.isViolatedBy(made, tx))
        return (await Promise.all(violated)).includes(true)
      }
      const outcome = await inTransaction(start, handler, services, {
        explain: guarded(isGuard, start, services),
      })
      return told(outcome, start, services)
    },
  }
}

function withOwnClient(names: readonly string[], duplicateKeyOf: DuplicateKeyOf): Strategy {
  return {
    ...shared,
    defaultHandlerTimeoutMs: () => 0,
    check: () => undefined,
    run: async (start, handler, services) => {
      const isGuard: IsGuard = (error) =>
        violatedKeyIn(error, duplicateKeyOf).some((name) => names.includes(name))
      const outcome = await outsideTransaction(start, handler, services, guarded(isGuard, start, services))
      return told(outcome, start, services)
    },
  }
}

/** Whether an error says that the guard was there already. */
type IsGuard = (error: unknown, tx: unknown) => Promise<boolean> | boolean

function guarded(isGuard: IsGuard, start: Start, services: StrategyServices): Explain<unknown> {
  return async (error, tx) => {
    // What the handler says by itself goes before what stands behind it.
    if (isPermanent(error) || !(await isGuard(error, tx))) return undefined
    return duplicate(start, services)
  }
}

/**
 * What the end of a transaction has refused, whose error the store has made its own: a deferred constraint is
 * checked by the commit, and a violation that the handler kept to itself leaves nothing to commit.
 */
function ofTheEnd(error: unknown): unknown {
  return isOncemqError(error) && error.code === 'ONCEMQ_STORE_REFUSED' ? error.cause : undefined
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
  const without = missingMethod(settings.store, ['uniqueKey'])
  if (without === undefined) return
  throw new OptionError(
    `strategy: expected a store that knows its unique keys for 'naturalKey', received ${without}; ` +
      `give naturalKey the duplicateKeyOf of the database that your handler writes to`,
  )
}
