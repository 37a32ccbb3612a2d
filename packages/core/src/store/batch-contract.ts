import type { TransactionalStore, TransactionEnd, UpdateAnswer } from './contract.ts'

/**
 * A store that can commit what several handlers wrote at once. One that says so by
 * `guarantees.batchesTransactions`.
 */
export interface BatchingStore<Tx> extends TransactionalStore<Tx> {
  /**
   * Opens one transaction, and handles in it what `next` gives, one after the other, until it gives nothing
   * or the store has had enough. Each is settled as by `transaction` alone: what fails, is lost or is a
   * repetition is rolled back to its savepoint, which leaves the others untouched, or with the whole batch
   * where there are none. What is kept is settled after the commit; by `ONCEMQ_TRANSACTION_CONFLICT` where it
   * is known that nothing was committed, and is to be run again by itself; by `ONCEMQ_COMMIT_UNKNOWN` where
   * that is not known.
   *
   * Resolves when all that `next` gave is settled. Never rejects.
   */
  transactions(next: NextMember<Tx>): Promise<void>
}

/** Gives the next that waits, if there is one. */
export type NextMember<Tx> = () => TransactionMember<Tx> | undefined

/** What {@link TransactionalStore.transaction} is given, and how it is answered. */
export interface TransactionMember<Tx> {
  readonly work: (tx: Tx) => Promise<TransactionEnd | undefined>
  readonly signal: AbortSignal | undefined
  readonly resolve: (answer: UpdateAnswer) => void
  readonly reject: (error: unknown) => void
}
