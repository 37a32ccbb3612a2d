import type { Clock } from '@oncemq/core/store'
import type { Store } from '@oncemq/core'

/** What {@link testStore} needs to know about a store: how to open a handle on it. */
export interface StoreSuiteOptions<Tx = unknown> {
  /**
   * Makes a new handle on the records of `namespace`; the suite opens and closes it. Several handles on one
   * namespace stand for several processes and share its records; a store of one process gives the same object
   * again.
   */
  open(context: StoreOpenContext): Store | Promise<Store>
  /**
   * Whether the store takes the given clock for all its times; the suite then moves it, and is exact and
   * quick. Else it waits for the store's own clock, with short leases.
   * @default false
   */
  readonly virtualTime?: boolean
  /**
   * Puts something of somebody else in the place of this id's record: a value under its key, a document with
   * its id. Cases about that are skipped without it.
   */
  spoil?(namespace: string, id: string): Promise<void>
  /**
   * Changes, removes or inserts these ids' records in one transaction of somebody else, which stays open
   * until the answer is called and is rolled back then. Answers nothing for a kind that cannot be met. Cases
   * about that are skipped without it.
   */
  lock?(namespace: string, ids: readonly string[], kind: LockKind): Promise<EndLock | undefined>
  /** The handler's own writes; needed for a store with `guarantees.transactional`. */
  readonly effects?: StoreEffects<Tx>
}

export type LockKind = 'change' | 'remove' | 'insert'
export type EndLock = () => Promise<unknown>

/** What a handle is opened with. */
export interface StoreOpenContext {
  /** New for each test: letters, digits, `_`; at most 30. For a table, collection, prefix or file. */
  readonly namespace: string
  readonly clock: Clock
}

/** A table of the user's own, in the same database as the records. */
export interface StoreEffects<Tx> {
  /** Makes what `write` needs, outside of any transaction. */
  prepare?(namespace: string): Promise<void>
  /** Writes one row with this name in the transaction. */
  write(tx: Tx, namespace: string, name: string): Promise<void>
  /** Commits on `tx`, as a handler must not. Cases about that are skipped without it. */
  commit?(tx: Tx): Promise<void>
  /** Counts the committed rows with this name, seen from outside of any transaction. */
  count(namespace: string, name: string): Promise<number>
}
