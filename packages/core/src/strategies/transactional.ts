import { completeInTransaction, inTransaction, requireTransactions } from './in-transaction.ts'
import type { Strategy } from './strategy.ts'

/**
 * For effects in the store's own database. Runs the handler in a transaction of the store and completes the
 * claim in the same one, guarded by its claim id: so of two handlers of one key, however they came to run at
 * once, one commits.
 */
export function transactional<Tx>(): Strategy<Tx> {
  return {
    name: 'transactional',
    needsDurableClaims: false,
    usesRecords: true,
    allowsDropIn: false,
    runsWithoutClaim: false,
    // A handler that hangs keeps the database's locks.
    defaultHandlerTimeoutMs: (leaseMs) => leaseMs,
    check: (settings) => requireTransactions('transactional', settings),
    completeOnce: completeInTransaction,
    run: (start, handler, services) => inTransaction(start, handler, services),
  }
}
