import type { KeyedStore, StateStore } from '@oncemq/core/store'

export interface Effect {
  readonly name: string
  readonly ref: string
}

/** What a store is opened with, beside its ORM. */
export interface SceneOptions {
  readonly timeoutMs?: number
}

/** A team's ORM on a database with the tables `effects` (unique by `name`, and by `ref`) and `accounts`. */
export interface Scene<Tx = unknown> {
  readonly store: KeyedStore<Tx> & StateStore<Tx>
  /** How the database names the primary key of the effects. */
  readonly key: string
  /** Inserts an effect. */
  readonly write: (tx: Tx, name: string, ref?: string) => Promise<unknown>
  /** Adds to an account, whose row is then locked. */
  readonly touch: (tx: Tx, id: number) => Promise<unknown>
  /** Runs `work` in a transaction within the transaction, as the ORM has it; none without savepoints. */
  readonly nested?: (tx: Tx, work: (tx: Tx) => Promise<unknown>) => Promise<unknown>
  /** Ends the transaction by hand. */
  readonly commit: (tx: Tx) => Promise<unknown>
  /** Asks the server for what takes longer than anybody waits. */
  readonly hang?: (tx: Tx) => Promise<unknown>
  /** Leaves an effect to be written when the handler has ended. */
  readonly leave?: (tx: Tx, name: string, ref?: string) => void
  /** Calls `hook` when the transaction is committed. */
  readonly afterCommit?: (tx: Tx, hook: () => Promise<void>) => void
  /** The names of the effects that are committed. */
  readonly effects: () => Promise<readonly string[]>
  readonly close: () => Promise<void>
}

type Open = (url: string, table: string, options?: SceneOptions) => Promise<object>

/** Each ORM, by its name. Tables are there already. */
export type Orms = Readonly<Record<string, Open>>

export const TABLES = [
  'CREATE TABLE effects (name VARCHAR(60) NOT NULL PRIMARY KEY, ref VARCHAR(60) NOT NULL UNIQUE)',
  'CREATE TABLE accounts (id INTEGER PRIMARY KEY, cents INTEGER NOT NULL, status VARCHAR(20) NOT NULL)',
  "INSERT INTO accounts VALUES (1, 0, 'pending'), (2, 0, 'pending')",
]

export const touchSql = (id: number): string => `UPDATE accounts SET cents = cents + 1 WHERE id = ${id}`
