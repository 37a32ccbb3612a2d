import { OptionError, received } from '../errors.ts'
import { givenOptions, requireInteger } from '../validate.ts'
import { completeInTransaction, inTransaction, requireTransactions } from './in-transaction.ts'
import type { CheckedSettings, StrategyServices, TransactionStrategy } from './strategy.ts'
import { TransactionBatches } from './transaction-batches.ts'

/** Options of {@link transactional}. */
export interface TransactionalOptions {
  /**
   * Handles messages that wait one after the other in one transaction, with one commit for all: at most `max`
   * of them, 2 to 1024. One that fails is rolled back alone, to its savepoint; where the database has none
   * (MongoDB), the others are run again by themselves. For short handlers that write by `context.tx` alone.
   * By default each has a transaction of its own.
   */
  batch?: { readonly max: number }
}

const BATCH_MIN = 2
const BATCH_MAX = 1024

/**
 * For effects in the store's own database. Runs the handler in a transaction of the store and completes the
 * claim in the same one, guarded by its claim id: so of two handlers of one key, however they came to run at
 * once, one commits.
 * @throws OptionError for an option that is wrong; at start for a store without transactions, or without
 *   batches of them where they are asked for.
 * @example
 * const dedup = createDeduplicator({
 *   store: new PostgresStore({ pool }),
 *   consumerGroup: 'billing',
 *   strategy: transactional({ batch: { max: 64 } }),
 * })
 */
export function transactional(options: TransactionalOptions = {}): TransactionStrategy {
  const max = batchMax(options)
  const batchesOf = max === undefined ? () => undefined : perDeduplicator(max)
  return {
    name: 'transactional',
    givesTx: true,
    needsDurableClaims: false,
    usesRecords: true,
    allowsDropIn: false,
    runsWithoutClaim: false,
    // A handler that hangs keeps the database's locks.
    defaultHandlerTimeoutMs: (leaseMs) => leaseMs,
    check: (settings) => {
      requireTransactions('transactional', settings)
      if (max !== undefined) requireBatches(settings)
    },
    completeOnce: completeInTransaction,
    run: (start, handler, services) =>
      inTransaction(start, handler, services, { batches: batchesOf(services) }),
  }
}

function perDeduplicator(max: number): (services: StrategyServices) => TransactionBatches<unknown> {
  const made = new WeakMap<object, TransactionBatches<unknown>>()
  return (services) => {
    // Each has its own.
    const batches = made.get(services.events) ?? new TransactionBatches<unknown>(services, max)
    made.set(services.events, batches)
    return batches
  }
}

function batchMax(options: TransactionalOptions): number | undefined {
  const { batch } = givenOptions('transactional', options, new Set(['batch']))
  if (batch === undefined) return undefined
  if (typeof batch !== 'object' || batch === null) {
    throw new OptionError(
      `transactional: batch: expected an object such as { max: 64 }, received ${received(batch)}; ` +
        `leave it out for a transaction of each message's own`,
    )
  }
  const { max } = givenOptions('transactional: batch', batch, new Set(['max']))
  requireInteger('transactional: batch.max', max, BATCH_MIN, BATCH_MAX)
  return max
}

function requireBatches({ store }: CheckedSettings): void {
  if (store.guarantees.batchesTransactions !== undefined) return
  throw new OptionError(
    `transactional: batch: expected a store that can handle several messages in one transaction, received ` +
      `'${store.name}' as it is set up; use SqliteStore, MongoStore, or PostgresStore or MysqlStore with ` +
      `isolation 'read committed', without an ORM's transactions, or leave batch out`,
  )
}
