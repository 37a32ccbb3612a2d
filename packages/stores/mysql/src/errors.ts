import type { Explanation } from '@oncemq/core/store'
import { isOncemqError, StoreError, storeError as errorOf } from '@oncemq/core/store'

/** The error numbers that the store tells apart: MySQL's, which MariaDB shares but for those that name it. */
export const MYSQL = Object.freeze({
  CHANGED_SINCE_READ: 1020,
  DISK_FULL: 1021,
  TOO_MANY_CONNECTIONS: 1040,
  DATABASE_DENIED: 1044,
  LOGIN_DENIED: 1045,
  NO_DATABASE: 1046,
  DATABASE_MISSING: 1049,
  SHUTTING_DOWN: 1053,
  COLUMN_MISSING: 1054,
  SYNTAX: 1064,
  TABLE_FULL: 1114,
  COLUMN_COUNT: 1136,
  TABLE_DENIED: 1142,
  COLUMN_DENIED: 1143,
  TABLE_MISSING: 1146,
  PACKET_TOO_LARGE: 1153,
  ERROR_DURING_COMMIT: 1180,
  TABLE_CRASHED: 1194,
  TABLE_NOT_REPAIRED: 1195,
  TOO_MANY_USER_CONNECTIONS: 1203,
  LOCK_WAIT_TIMEOUT: 1205,
  DEADLOCK: 1213,
  PRIVILEGE_MISSING: 1227,
  READ_ONLY_OPTION: 1290,
  SUBQUERY_ROWS: 1242,
  SAVEPOINT_MISSING: 1305,
  INTERRUPTED: 1317,
  TRANSACTION_OPEN: 1568,
  BINLOG_STATEMENT: 1665,
  READ_ONLY_TRANSACTION: 1792,
  READ_ONLY_MODE: 1836,
  MARIADB_CONNECTION_KILLED: 1927,
  MARIADB_STATEMENT_TIMEOUT: 1969,
  STATEMENT_TIMEOUT: 3024,
  ROLLED_BACK_DURING_COMMIT: 3101,
  IDLE_TOO_LONG: 4031,
})

const READ_ONLY: Explanation = [
  'ONCEMQ_STORE_UNAVAILABLE',
  'the server is read-only: a replica, or set so',
  'connect to the primary, or unset read_only',
]
const DISK_FULL: Explanation = ['ONCEMQ_STORE_FULL', 'no space is left', "make room on the server's disk"]
const NO_CONNECTION_LEFT: Explanation = [
  'ONCEMQ_STORE_UNAVAILABLE',
  'the server has no connection left',
  'raise max_connections, or make the pools smaller',
]
const DENIED: Explanation = [
  'ONCEMQ_STORE_REFUSED',
  'this user may not',
  'grant what the README lists, or let a user who may create the tables by schema()',
]
const LOGIN_DENIED: Explanation = [
  'ONCEMQ_STORE_REFUSED',
  'the login was refused',
  'correct user or password, and grant the user this database',
]
const DATABASE_MISSING: Explanation = [
  'ONCEMQ_STORE_REFUSED',
  'its database does not exist, or none is chosen',
  "CREATE DATABASE, name it in the URL or the pool's options, or give a table as 'database.table'",
]
const OTHER_TABLES: Explanation = [
  'ONCEMQ_STORE_CORRUPT',
  'its tables are not those of this version',
  'choose another table name, or let open() create the tables',
]
const DAMAGED: Explanation = [
  'ONCEMQ_STORE_CORRUPT',
  'its data are damaged',
  'look at the server log, and restore the table from a copy',
]
const CONFLICT: Explanation = [
  'ONCEMQ_STORE_UNAVAILABLE',
  'it met others at the same rows again and again',
  'look for long transactions that lock its rows; the operation is tried again',
]
const STOPPED: Explanation = [
  'ONCEMQ_STORE_UNAVAILABLE',
  'the statement was stopped by a time limit of the server',
  "look at the server's load and at locks, or raise max_execution_time or max_statement_time",
]
const LOCKED: Explanation = [
  'ONCEMQ_STORE_TIMEOUT',
  'a row is locked, or the server took too long',
  'look for a transaction that stays open; the operation is tried again',
]
const UNKNOWN: Explanation = [
  'ONCEMQ_STORE_UNAVAILABLE',
  'the server failed',
  'the cause says more; the operation is tried again',
]
const DISCONNECTED: Explanation = [
  'ONCEMQ_STORE_UNAVAILABLE',
  'there is no working connection',
  'look at the server and the network; the operation is tried again',
]

const explanations: Readonly<Record<number, Explanation>> = {
  [MYSQL.CHANGED_SINCE_READ]: CONFLICT,
  [MYSQL.DISK_FULL]: DISK_FULL,
  [MYSQL.TOO_MANY_CONNECTIONS]: NO_CONNECTION_LEFT,
  [MYSQL.DATABASE_DENIED]: LOGIN_DENIED,
  [MYSQL.LOGIN_DENIED]: LOGIN_DENIED,
  [MYSQL.NO_DATABASE]: DATABASE_MISSING,
  [MYSQL.DATABASE_MISSING]: DATABASE_MISSING,
  // The store's statements are fixed, so one that does not fit says that the tables are not its own.
  [MYSQL.COLUMN_MISSING]: OTHER_TABLES,
  [MYSQL.SYNTAX]: OTHER_TABLES,
  [MYSQL.COLUMN_COUNT]: OTHER_TABLES,
  [MYSQL.TABLE_FULL]: DISK_FULL,
  [MYSQL.TABLE_DENIED]: DENIED,
  [MYSQL.COLUMN_DENIED]: DENIED,
  [MYSQL.TABLE_MISSING]: [
    'ONCEMQ_STORE_CORRUPT',
    'it does not exist',
    'create the tables by the SQL that schema() answers, or leave createSchema on',
  ],
  [MYSQL.PACKET_TOO_LARGE]: [
    'ONCEMQ_STORE_REFUSED',
    'a result is larger than the server takes',
    'raise max_allowed_packet to more than twice the largest result, or store smaller results',
  ],
  [MYSQL.TABLE_CRASHED]: DAMAGED,
  [MYSQL.TABLE_NOT_REPAIRED]: DAMAGED,
  [MYSQL.TOO_MANY_USER_CONNECTIONS]: NO_CONNECTION_LEFT,
  [MYSQL.LOCK_WAIT_TIMEOUT]: LOCKED,
  [MYSQL.DEADLOCK]: CONFLICT,
  [MYSQL.PRIVILEGE_MISSING]: DENIED,
  [MYSQL.READ_ONLY_OPTION]: READ_ONLY,
  [MYSQL.INTERRUPTED]: LOCKED,
  [MYSQL.TRANSACTION_OPEN]: [
    'ONCEMQ_STORE_UNAVAILABLE',
    'the pool gave a connection on which a transaction is open, or autocommit is off',
    'look for code that releases a connection without COMMIT or ROLLBACK, and leave autocommit on',
  ],
  [MYSQL.BINLOG_STATEMENT]: [
    'ONCEMQ_STORE_REFUSED',
    'the server logs statements, which READ COMMITTED does not allow',
    'set binlog_format to ROW, or to MIXED',
  ],
  [MYSQL.READ_ONLY_TRANSACTION]: READ_ONLY,
  [MYSQL.READ_ONLY_MODE]: READ_ONLY,
  [MYSQL.MARIADB_STATEMENT_TIMEOUT]: STOPPED,
  [MYSQL.STATEMENT_TIMEOUT]: STOPPED,
}

/** The number of an error that the server answered; `undefined` for any other, such as a lost connection. */
export function errorNumber(error: unknown): number | undefined {
  const { errno } = (error ?? {}) as { errno?: unknown }
  // Those of the operating system are negative.
  return typeof errno === 'number' && errno >= 1000 ? errno : undefined
}

/** Whether the server asks for the statement or transaction to be run again. */
export function isConflict(error: unknown): boolean {
  const number = errorNumber(error)
  return (
    number === MYSQL.DEADLOCK ||
    // MariaDB from 11.6 on, above READ COMMITTED: the record was changed after the snapshot was taken.
    number === MYSQL.CHANGED_SINCE_READ ||
    number === MYSQL.LOCK_WAIT_TIMEOUT ||
    number === MYSQL.ROLLED_BACK_DURING_COMMIT
  )
}

/** Whether a statement waited too long for a row that others have locked, and was stopped, here or there. */
export function isLockTaken(error: unknown): boolean {
  const number = errorNumber(error)
  return number === MYSQL.LOCK_WAIT_TIMEOUT || number === MYSQL.INTERRUPTED
}

/** Whether the server has rolled back all of the transaction, and not its last statement alone. */
export function isRolledBack(error: unknown): boolean {
  return isConflict(error) && errorNumber(error) !== MYSQL.LOCK_WAIT_TIMEOUT
}

/** Whether the connection is lost, by an error that the driver made. */
export function isDisconnect(error: unknown): boolean {
  const number = errorNumber(error)
  if (number !== undefined) return ENDINGS.has(number)
  const { fatal, code } = (error ?? {}) as { fatal?: unknown; code?: unknown }
  return fatal === true || (typeof code === 'string' && /^(?:PROTOCOL_CONNECTION_LOST|E[A-Z]+)$/.test(code))
}

const ENDINGS: ReadonlySet<number> = new Set([
  MYSQL.SHUTTING_DOWN,
  MYSQL.MARIADB_CONNECTION_KILLED,
  MYSQL.IDLE_TOO_LONG,
])

/**
 * What the store throws for `error`. `where` names the table. The driver's message is not repeated, since it
 * may hold values; the cause has it.
 */
export function storeError(error: unknown, where: string): StoreError {
  if (isOncemqError(error)) return error as StoreError
  const number = errorNumber(error)
  const explanation = number === undefined ? DISCONNECTED : (explanations[number] ?? UNKNOWN)
  const detail = number === undefined ? nodeCode(error) : `error ${number}`
  return errorOf({ store: 'MysqlStore', expected: `to use ${where}`, detail, cause: error }, explanation)
}

/**
 * What an error of the handler becomes: a conflict if the server asks for the whole again, unavailable if the
 * connection is lost, else itself. `made` is the driver's own error behind it, if any: nothing else counts.
 */
export function handlerError(error: unknown, made: unknown, where: string): unknown {
  if (isConflict(made)) return conflict(error)
  return made !== undefined && isDisconnect(made) ? storeError(made, where) : error
}

/** What a failed COMMIT of a handler's transaction becomes. */
export function commitError(error: unknown, where: string): StoreError {
  if (isConflict(error)) return conflict(error)
  const number = errorNumber(error)
  const meaning = number === undefined ? undefined : explanations[number]
  const isKnown = meaning !== undefined && meaning !== STOPPED && meaning !== LOCKED
  if (isKnown) return storeError(error, where)
  return new StoreError(
    'ONCEMQ_COMMIT_UNKNOWN',
    'MysqlStore: expected the answer to COMMIT, received none; the message is delivered again and finds out',
    { cause: error },
  )
}

/** A handler ended its transaction: by COMMIT or ROLLBACK, or by a statement that commits by itself. */
export function endedError(cause: unknown): StoreError {
  return new StoreError(
    'ONCEMQ_TRANSACTION_ENDED',
    'MysqlStore: expected the transaction to be open when the handler ends, received it ended; leave ' +
      'COMMIT and ROLLBACK to the store, use SAVEPOINT inside, and keep statements that commit by ' +
      'themselves (CREATE, ALTER, TRUNCATE ...) out of it. What the handler has committed by itself stays, ' +
      'and the message is not recorded as done',
    { cause },
  )
}

/** A handler has ended, and what it sent and did not await has not. */
export function unansweredError(timeoutMs: number): StoreError {
  return new StoreError(
    'ONCEMQ_HANDLER_TIMEOUT',
    `MysqlStore: expected the statements that a handler did not await to end within ${timeoutMs} ms of it, ` +
      'received no answer, so that all is rolled back; await what the handler sends, or raise timeoutMs',
  )
}

/** The server ended the transaction, since the handler asked nothing of it for too long. */
export function idleError(transactionIdleMs: number, cause: unknown): StoreError {
  return new StoreError(
    'ONCEMQ_HANDLER_TIMEOUT',
    `MysqlStore: expected a handler that uses its transaction at least each ${transactionIdleMs} ms, ` +
      'received a connection that was closed after such a time, so that all is rolled back; do slow work ' +
      'before or after, or raise transactionIdleMs',
    { cause },
  )
}

export function conflict(cause: unknown): StoreError {
  return new StoreError(
    'ONCEMQ_TRANSACTION_CONFLICT',
    'MysqlStore: expected to commit, but a deadlock or a lock that is held too long is in the way; ' +
      'the whole transaction is to be run again',
    { cause },
  )
}

function nodeCode(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'string' ? code : undefined
}
