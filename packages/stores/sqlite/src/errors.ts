import { types } from 'node:util'
import { isOncemqError, StoreError, storeError } from '@oncemq/core/store'
import type { Explanation } from '@oncemq/core/store'

export const STORE = 'SqliteStore'

/** SQLite's primary result codes that the store tells apart: https://sqlite.org/rescode.html */
export const SQLITE = Object.freeze({
  ERROR: 1,
  BUSY: 5,
  LOCKED: 6,
  READONLY: 8,
  IOERR: 10,
  CORRUPT: 11,
  FULL: 13,
  CANTOPEN: 14,
  CONSTRAINT: 19,
  NOTADB: 26,
})

const LOCKED: Explanation = [
  'ONCEMQ_STORE_UNAVAILABLE',
  'it is locked by another connection',
  'look for a transaction that stays open, or raise busyTimeoutMs',
]
const DAMAGED: Explanation = [
  'ONCEMQ_STORE_CORRUPT',
  'it is damaged or no SQLite database',
  'give another path, or restore the file from a copy',
]
const UNKNOWN: Explanation = [
  'ONCEMQ_STORE_UNAVAILABLE',
  'SQLite failed',
  'the cause says more; the operation is tried again',
]

const explanations: Readonly<Record<number, Explanation>> = {
  // The store's statements are fixed, so one that does not fit says that the tables are not its own.
  [SQLITE.ERROR]: [
    'ONCEMQ_STORE_CORRUPT',
    'its tables are not those of this version',
    'choose another table name, or let open() create the tables',
  ],
  [SQLITE.BUSY]: LOCKED,
  [SQLITE.LOCKED]: LOCKED,
  [SQLITE.READONLY]: [
    'ONCEMQ_STORE_UNAVAILABLE',
    'it cannot be written',
    'let this user write the file and its folder, where SQLite keeps the log',
  ],
  [SQLITE.IOERR]: ['ONCEMQ_STORE_UNAVAILABLE', 'the disk failed', 'look at the disk and at the system log'],
  [SQLITE.CORRUPT]: DAMAGED,
  [SQLITE.FULL]: [
    'ONCEMQ_STORE_FULL',
    'no space is left',
    'make room on the disk, or raise PRAGMA max_page_count',
  ],
  [SQLITE.CANTOPEN]: [
    'ONCEMQ_STORE_UNAVAILABLE',
    'it cannot be opened',
    'create its folder, and let this user write the file and its folder',
  ],
  [SQLITE.CONSTRAINT]: [
    'ONCEMQ_STORE_REFUSED',
    'a constraint is violated',
    "look at what the handler wrote: the transaction's deferred constraints are checked at its end",
  ],
  [SQLITE.NOTADB]: DAMAGED,
}

/** The primary result code of an error of node:sqlite, `undefined` for any other. */
export function resultCode(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown } | null | undefined)?.errcode
  return typeof code === 'number' ? code & 0xff : undefined
}

/** Whether to wait helps: another connection, or another transaction of this one, is at work. */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error)
  return code === SQLITE.BUSY || code === SQLITE.LOCKED || error instanceof ConnectionTaken
}

/** An injected connection on which its owner has a transaction open. */
export class ConnectionTaken extends StoreError {
  constructor() {
    super(
      'ONCEMQ_STORE_UNAVAILABLE',
      'SqliteStore: expected the injected database between two transactions, received it with one open; ' +
        'end yours before you await, or give { path } and the store has a connection of its own',
    )
  }
}

/** What the store throws for `error`. `where` names the database; SQLite's messages hold no values. */
export function asStoreError(error: unknown, where: string): StoreError {
  if (isOncemqError(error)) return error as StoreError
  const detail = types.isNativeError(error) ? error.message : undefined
  const parts = { store: STORE, expected: `to use ${where}`, detail, cause: error }
  return storeError(parts, explanations[resultCode(error) ?? 0] ?? UNKNOWN)
}

const FAILURES_OF_THE_DATABASE: ReadonlySet<number | undefined> = new Set([
  SQLITE.IOERR,
  SQLITE.CORRUPT,
  SQLITE.FULL,
  SQLITE.CANTOPEN,
  SQLITE.NOTADB,
])

/** Whether the database itself failed a handler's statement, and not the statement the database. */
export function isDatabaseFailure(error: unknown): boolean {
  return FAILURES_OF_THE_DATABASE.has(resultCode(error))
}

/** What a failed COMMIT of a handler's transaction becomes. */
export function commitError(cause: unknown, where: string): StoreError {
  const parts = { store: STORE, expected: `${where} to commit`, cause }
  const code = resultCode(cause)
  // Without WAL a reader can be in the way of a commit.
  if (code === SQLITE.BUSY) {
    return storeError(parts, ['ONCEMQ_TRANSACTION_CONFLICT', 'a reader is in the way', 'use the WAL journal'])
  }
  // The log may hold the whole commit although the disk did not confirm it.
  if (code === SQLITE.IOERR) {
    return storeError(parts, ['ONCEMQ_COMMIT_UNKNOWN', 'the disk failed', 'look at the system log'])
  }
  return asStoreError(cause, where)
}

/** What a handler's transaction becomes that is not open any more when the handler has ended. */
export function endedError(cause: unknown): StoreError {
  const parts = { store: STORE, expected: 'the transaction to be open when the handler ends', cause }
  return storeError(parts, [
    'ONCEMQ_TRANSACTION_ENDED',
    'received it ended',
    'leave BEGIN, COMMIT and ROLLBACK to the store, and use SAVEPOINT inside. What the handler has ' +
      'committed by itself stays, and the message is not recorded as done',
  ])
}

/** What a short write becomes that has waited for a handler of this process. */
export function heldByHandler(busyTimeoutMs: number): StoreError {
  return storeError({ store: STORE, expected: `the database within ${busyTimeoutMs} ms` }, [
    'ONCEMQ_STORE_BUSY',
    'received none while a handler of this process has a transaction open',
    'keep such handlers short, and do not wait for the store inside of one',
  ])
}
