import type { Explanation } from '@oncemq/core/store'
import { isOncemqError, StoreError, storeError as errorOf } from '@oncemq/core/store'

/**
 * The error codes of PostgreSQL that the store tells apart:
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export const SQLSTATE = Object.freeze({
  READ_ONLY: '25006',
  IDLE_TOO_LONG: '25P03',
  TRANSACTION_ABORTED: '25P02',
  STATEMENT_MISSING: '26000',
  SCHEMA_MISSING: '3F000',
  SERIALIZATION_FAILURE: '40001',
  COMPLETION_UNKNOWN: '40003',
  DEADLOCK: '40P01',
  PRIVILEGE_MISSING: '42501',
  TABLE_MISSING: '42P01',
  STATEMENT_EXISTS: '42P05',
  DISK_FULL: '53100',
  CONNECTIONS_USED_UP: '53300',
  LOCK_TAKEN: '55P03',
  CANCELED: '57014',
  DATA_DAMAGED: 'XX001',
  INDEX_DAMAGED: 'XX002',
})

const DAMAGED: Explanation = [
  'ONCEMQ_STORE_CORRUPT',
  'its data are damaged',
  'look at the server log, and restore the table from a copy, or REINDEX it',
]
const CONFLICT: Explanation = [
  'ONCEMQ_STORE_UNAVAILABLE',
  'it met others at the same rows again and again',
  'look for long transactions that lock its rows; the operation is tried again',
]
const UNKNOWN: Explanation = [
  'ONCEMQ_STORE_UNAVAILABLE',
  'the server failed',
  'the cause says more; the operation is tried again',
]
const RAISED: Explanation = [
  'ONCEMQ_STORE_REFUSED',
  'the server does not commit what the handler wrote',
  'look at its deferred triggers and constraints, which are checked at the end: the cause says more',
]
const DISCONNECTED: Explanation = [
  'ONCEMQ_STORE_UNAVAILABLE',
  'there is no working connection',
  'look at the server and the network; the operation is tried again',
]

const explanations: Readonly<Record<string, Explanation>> = {
  [SQLSTATE.READ_ONLY]: [
    'ONCEMQ_STORE_UNAVAILABLE',
    'the server is read-only: a standby, or set so',
    'connect to the primary (target_session_attrs, or the name of the writer)',
  ],
  [SQLSTATE.TRANSACTION_ABORTED]: [
    'ONCEMQ_STORE_REFUSED',
    "a statement of the handler failed and the transaction with it, although the handler didn't",
    'let the error through, use ON CONFLICT DO NOTHING, or put a SAVEPOINT before a statement that may fail',
  ],
  [SQLSTATE.SCHEMA_MISSING]: [
    'ONCEMQ_STORE_REFUSED',
    'its schema does not exist',
    'CREATE SCHEMA, and grant this user USAGE and CREATE on it',
  ],
  [SQLSTATE.SERIALIZATION_FAILURE]: CONFLICT,
  [SQLSTATE.DEADLOCK]: CONFLICT,
  [SQLSTATE.PRIVILEGE_MISSING]: [
    'ONCEMQ_STORE_REFUSED',
    'this user may not',
    'grant what the README lists, or let a user who may create the tables by schema()',
  ],
  [SQLSTATE.TABLE_MISSING]: [
    'ONCEMQ_STORE_CORRUPT',
    'it does not exist',
    'create the tables by the SQL that schema() answers, or leave createSchema on',
  ],
  [SQLSTATE.DISK_FULL]: ['ONCEMQ_STORE_FULL', 'no space is left', "make room on the server's disk"],
  [SQLSTATE.CONNECTIONS_USED_UP]: [
    'ONCEMQ_STORE_UNAVAILABLE',
    'the server has no connection left',
    'raise max_connections, make the pools smaller, or put PgBouncer between',
  ],
  [SQLSTATE.LOCK_TAKEN]: [
    'ONCEMQ_STORE_TIMEOUT',
    'a row is locked',
    'look for a transaction that stays open; the operation is tried again',
  ],
  [SQLSTATE.CANCELED]: [
    'ONCEMQ_STORE_UNAVAILABLE',
    'the statement was canceled, perhaps by statement_timeout',
    "look at the server's load and at locks, or raise statement_timeout",
  ],
  [SQLSTATE.DATA_DAMAGED]: DAMAGED,
  [SQLSTATE.INDEX_DAMAGED]: DAMAGED,
}

/** What a COMMIT fails by, by class, when the server is in need. All else is raised by what it checks. */
const ofTheServer = /^(?:25|40|53|55|58|F0|XX)/

/** For codes that stand in no list of their own, by their class: the first two characters. */
const classes: Readonly<Record<string, Explanation>> = {
  '08': DISCONNECTED,
  '22': ['ONCEMQ_STORE_REFUSED', 'it cannot hold a value', 'use a database with the encoding UTF8'],
  '23': [
    'ONCEMQ_STORE_REFUSED',
    'a constraint is violated',
    "look at what the handler wrote: the transaction's deferred constraints are checked at its end",
  ],
  '28': ['ONCEMQ_STORE_REFUSED', 'the login was refused', 'correct user, password or pg_hba.conf'],
  '3D': ['ONCEMQ_STORE_REFUSED', 'its database does not exist', 'CREATE DATABASE, or correct the name'],
  // The store's statements are fixed, so one that does not fit says that the tables are not its own.
  '42': [
    'ONCEMQ_STORE_CORRUPT',
    'its tables are not those of this version',
    'choose another table name, or let open() create the tables',
  ],
}

/**
 * The SQLSTATE of an error that the server answered; `undefined` for any other, such as a lost connection.
 */
export function sqlState(error: unknown): string | undefined {
  const { code, severity } = (error ?? {}) as { code?: unknown; severity?: unknown }
  // EPIPE and its like have five capitals too, but no severity.
  return typeof code === 'string' && code.length === 5 && typeof severity === 'string' ? code : undefined
}

/** Whether the server asks for the statement or transaction to be run again. */
export function isConflict(error: unknown): boolean {
  const state = sqlState(error)
  return state === SQLSTATE.SERIALIZATION_FAILURE || state === SQLSTATE.DEADLOCK
}

/** Whether a row was locked by others for longer than the statement was to wait. */
export function isLockTaken(error: unknown): boolean {
  return sqlState(error) === SQLSTATE.LOCK_TAKEN
}

/** Whether a prepared statement is not where it was left: the pool is a pooler's, or clears its sessions. */
export function isUnprepared(error: unknown): boolean {
  const state = sqlState(error)
  return state === SQLSTATE.STATEMENT_MISSING || state === SQLSTATE.STATEMENT_EXISTS
}

/**
 * What the store throws for `error`. `where` names the table. The driver's message is not repeated, since it
 * may hold values; the cause has it. `otherwise` explains codes that stand in no list.
 */
export function storeError(error: unknown, where: string, otherwise = UNKNOWN): StoreError {
  if (isOncemqError(error)) return error as StoreError
  const state = sqlState(error)
  const detail = state === undefined ? nodeCode(error) : `SQLSTATE ${state}`
  const parts = { store: 'PostgresStore', expected: `to use ${where}`, detail, cause: withoutValues(error) }
  return errorOf(parts, explain(state, otherwise))
}

/**
 * What an error of the handler becomes: a conflict if PostgreSQL asks for the whole again, unavailable if it
 * is shutting down, else itself. `made` is the driver's own error behind it, if any: nothing else counts.
 */
export function handlerError(error: unknown, made: unknown, where: string): unknown {
  if (isConflict(behindAbort(made))) return conflict(error)
  return /^(?:08|57P)/.test(sqlState(made) ?? '') ? storeError(made, where) : error
}

/** What a failed COMMIT of a handler's transaction becomes. */
export function commitError(error: unknown, where: string): StoreError {
  if (isConflict(error)) return conflict(error)
  const state = sqlState(error)
  // It began as one that writes.
  if (state === SQLSTATE.READ_ONLY) return readOnlyError(error)
  const isKnown = state !== undefined && state !== SQLSTATE.COMPLETION_UNKNOWN && !/^(?:08|57)/.test(state)
  if (isKnown) return storeError(error, where, ofTheServer.test(state) ? UNKNOWN : RAISED)
  return new StoreError(
    'ONCEMQ_COMMIT_UNKNOWN',
    'PostgresStore: expected the answer to COMMIT, received none; the message is delivered again and ' +
      'finds out',
    { cause: error },
  )
}

/** Whoever took it for the server's would wait for that to change, and hold all other messages back. */
function readOnlyError(cause: unknown): StoreError {
  return new StoreError(
    'ONCEMQ_STORE_REFUSED',
    'PostgresStore: expected a transaction that may write, received one that its handler has made ' +
      'read-only; leave SET TRANSACTION READ ONLY out of it',
    { cause },
  )
}

/** A handler ended its transaction: by COMMIT or ROLLBACK, or by a procedure that does. */
export function endedError(cause?: unknown): StoreError {
  if (isOncemqError(cause) && cause.code === 'ONCEMQ_TRANSACTION_ENDED') return cause as StoreError
  return new StoreError(
    'ONCEMQ_TRANSACTION_ENDED',
    'PostgresStore: expected the transaction to be open when the handler ends, received it ended; leave ' +
      'BEGIN, COMMIT and ROLLBACK to the store, and use SAVEPOINT inside. What the handler committed by ' +
      'itself stays, and the message is not recorded as done',
    cause === undefined ? {} : { cause },
  )
}

/** A handler has ended, and what it sent and did not await has not. */
export function unansweredError(timeoutMs: number): StoreError {
  return new StoreError(
    'ONCEMQ_HANDLER_TIMEOUT',
    `PostgresStore: expected the statements that a handler did not await to end within ${timeoutMs} ms of ` +
      'it, received no answer, so that all is rolled back; await what the handler sends, or raise timeoutMs',
  )
}

/** The server ended the transaction, since the handler asked nothing of it for too long. */
export function idleError(transactionIdleMs: number, cause: unknown): StoreError {
  return new StoreError(
    'ONCEMQ_HANDLER_TIMEOUT',
    `PostgresStore: expected a handler that uses its transaction at least each ${transactionIdleMs} ms, ` +
      'received a longer pause, and the server rolled back; do slow work before or after, or raise ' +
      'transactionIdleMs',
    { cause },
  )
}

/** Whether a statement of the transaction had failed before, so that the server takes no more of them. */
export function isAborted(error: unknown): boolean {
  return sqlState(error) === SQLSTATE.TRANSACTION_ABORTED
}

/** The error that a refused statement of an aborted transaction comes from. */
const aborts = new WeakMap<object, unknown>()

/** Notes which error has aborted the transaction whose next statement is refused by `error`. */
export function noteAbort(error: unknown, abortedBy: unknown): void {
  if (isAborted(error) && abortedBy !== undefined) aborts.set(error as object, abortedBy)
}

/** What made an error: that which aborted the transaction before it, or itself. */
export function behindAbort(error: unknown): unknown {
  return isAborted(error) ? (aborts.get(error as object) ?? error) : error
}

/** Whether the server ended a session whose transaction lay idle. */
export function isIdleTooLong(error: unknown): boolean {
  return sqlState(error) === SQLSTATE.IDLE_TOO_LONG
}

export function conflict(cause: unknown): StoreError {
  return new StoreError(
    'ONCEMQ_TRANSACTION_CONFLICT',
    'PostgresStore: expected to commit, but a deadlock or a serialization failure is in the way; ' +
      'the whole transaction is to be run again',
    { cause },
  )
}

/** The server's detail quotes the values of the row. */
function withoutValues(error: unknown): unknown {
  if (sqlState(error) !== undefined)
    for (const part of ['detail', 'where']) Reflect.deleteProperty(error as object, part)
  return error
}

function explain(state: string | undefined, otherwise: Explanation): Explanation {
  if (state === undefined) return DISCONNECTED
  return explanations[state] ?? classes[state.slice(0, 2)] ?? otherwise
}

function nodeCode(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'string' ? code : undefined
}
