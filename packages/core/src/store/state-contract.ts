import type { Finding, TransactionalStore } from './contract.ts'

/** A store that moves rows of its user's from state to state, for strategy `stateMachine`. */
export interface StateStore<Tx> extends TransactionalStore<Tx> {
  /** The names are plain ones, and are to be quoted. */
  stateTable(names: StateTableNames): StateTable<Tx>
}

/** The table of a state machine, by its user's names. */
export interface StateTableNames {
  /** With or without its schema. */
  readonly table: string
  /** The column that a row is found by. */
  readonly id: string
  /** The column of the state. */
  readonly state: string
}

/**
 * A row's id: text, a safe integer, a bigint of 64 bits, or an object of the driver's own, such as an
 * ObjectId.
 */
export type RowId = string | number | bigint | object

/** The table of a state machine. */
export interface StateTable<Tx> {
  /**
   * Looks at start whether the table has the columns and can hold these states. Answers as warning that no
   * index begins with the id. @throws StoreError `ONCEMQ_TABLE_UNFIT` when it does not.
   */
  check(states: readonly string[]): Promise<readonly Finding[]>
  /**
   * Moves the row to `to` if its state is one of `from`, in one statement, and answers whether it did; also
   * where `to` is the state that it had. `unfit-id`: the column cannot hold such an id, so that there is no
   * such row; the transaction may be of no more use then.
   */
  move(
    tx: Tx,
    step: { readonly id: RowId; readonly from: readonly string[]; readonly to: string },
  ): Promise<'moved' | 'not-moved' | 'unfit-id'>
  /**
   * The row's state; `undefined` for none. Reads what is committed now, not an older snapshot, where the
   * database can: it is asked when another transaction may just have moved the row.
   */
  read(tx: Tx, id: RowId): Promise<string | undefined>
}
