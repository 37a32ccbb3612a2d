import type { TransactionalStore } from '@oncemq/core'
import type { Posting } from '../transfers.ts'

/** Two accounts and a ledger, in the database in which the store keeps its records. */
export interface Bank<Tx> {
  readonly store: TransactionalStore<Tx>
  /** Opens the accounts. */
  prepare(opening: readonly Posting[]): Promise<void>
  /** Adds to an account, in the transaction of the handler. */
  post(tx: Tx, posting: Posting): Promise<void>
  /** Notes a transfer in the ledger, which takes it any number of times. */
  enter(tx: Tx, transfer: string): Promise<void>
  balances(): Promise<Readonly<Record<string, number>>>
  ledger(): Promise<readonly string[]>
  /** Removes accounts and ledger. */
  remove(): Promise<void>
  close(): Promise<void>
}
