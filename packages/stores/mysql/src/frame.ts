import type { Clock } from '@oncemq/core/store'
import type { MysqlConnection, MysqlPool } from './client.ts'
import { nameOf } from './connection.ts'
import { dialectOf } from './dialect.ts'
import type { Settings } from './options.ts'
import type { Variables } from './verify.ts'

/** A savepoint before the handler's writes, by which its transaction is known again. */
const GUARD = 'oncemq_handler'
/** Each fails unless the transaction is the one that was begun. */
export const RELEASE = `RELEASE SAVEPOINT ${GUARD}`
export const UNDO = `ROLLBACK TO SAVEPOINT ${GUARD}`
/** In a batch, in place of the one before the last handler. */
export const NEXT = `SAVEPOINT ${GUARD}`

const IDLE_BEFORE = '@oncemq_idle_before'
const LOCK_WAIT = '@@SESSION.innodb_lock_wait_timeout'
const LOCK_WAIT_BEFORE = '@oncemq_lock_wait_before'
/** Fails by SUBQUERY_ROWS unless the statement before it has changed a row. */
const REQUIRE_CHANGE = 'SET @oncemq_changed = IF(ROW_COUNT() = 1, 1, (SELECT 1 UNION SELECT 2))'
const MS_PER_SECOND = 1000

/** The statements around a handler, and their settings. */
export interface Frame {
  readonly where: string
  readonly clock: Clock
  readonly transactionsMax: number
  readonly transactionIdleMs: number
  /** One message, where the server takes several statements as one. */
  readonly begin: readonly string[]
  /**
   * Ends a transaction by one message, which fails, and commits nothing, unless it is the one that was begun
   * and each of the changes has changed a row. Not where the server takes one statement at a time.
   */
  readonly finish: ((changes: readonly string[]) => string) | undefined
  /**
   * Keeps what a handler of a batch wrote and its completion, by one message that fails as `finish` does
   * where a change has changed no row. Not where the server takes one statement at a time.
   */
  readonly keep: ((changes: readonly string[]) => string) | undefined
  /** Gives the session back the settings that it came with, and the server's time. */
  readonly restore: string
}

/** The isolation is of the next transaction alone; all other settings are the session's. */
export function frameOf<Connection extends MysqlConnection>(
  settings: Settings<Connection>,
  { version = '', transaction_isolation: newName }: Variables,
  pool: MysqlPool,
): Frame {
  const { clock, isolation, timeoutMs, transactionsMax, transactionIdleMs } = settings
  const prefix = newName === undefined ? 'tx' : 'transaction'
  const dialect = dialectOf(version)
  const idle = `@@SESSION.${dialect.idleSetting}`
  const level = isolation.toUpperCase().replace(' ', '-')
  const statements = [
    `SET @@${prefix}_isolation = '${level}', @@${prefix}_read_only = 0, ` +
      `${IDLE_BEFORE} = ${idle}, ${idle} = ${secondsOf(transactionIdleMs)}, ` +
      `${LOCK_WAIT_BEFORE} = ${LOCK_WAIT}`,
    'START TRANSACTION',
    NEXT,
  ]
  const several = takesSeveral(pool) ? severalOf : undefined
  const joined = several ?? dialect.compound
  const waitSeconds = secondsOf(timeoutMs)
  return {
    where: nameOf(settings),
    clock,
    transactionsMax,
    transactionIdleMs,
    begin: joined === undefined ? statements : [joined(statements)],
    finish: joined && ((changes) => joined([...completionOf(changes, waitSeconds), 'COMMIT'])),
    // To read a compound statement takes the server longer than the way there and back.
    keep: several && ((changes) => several([...requiredOf(changes), NEXT])),
    restore: `SET timestamp = DEFAULT, ${idle} = ${IDLE_BEFORE}, ${LOCK_WAIT} = ${LOCK_WAIT_BEFORE}`,
  }
}

/** Nobody stops a message that commits: by itself it waits for a locked record no longer than this. */
function completionOf(changes: readonly string[], lockWaitSeconds: number): readonly string[] {
  if (changes.length === 0) return [RELEASE]
  // A handler's own time would be that of the record, too.
  const settings = `SET timestamp = DEFAULT, ${LOCK_WAIT} = ${lockWaitSeconds}`
  return [RELEASE, settings, ...requiredOf(changes)]
}

function requiredOf(changes: readonly string[]): readonly string[] {
  return changes.flatMap((change) => [change, REQUIRE_CHANGE])
}

/** Whether the owner of the pool lets several statements go as one. */
function takesSeveral(pool: MysqlPool): boolean {
  type Config = { readonly connectionConfig?: { readonly multipleStatements?: unknown } }
  const { pool: inner } = pool as { pool?: { config?: Config } }
  return inner?.config?.connectionConfig?.multipleStatements === true
}

function severalOf(statements: readonly string[]): string {
  return statements.join('; ')
}

function secondsOf(milliseconds: number): number {
  return Math.ceil(milliseconds / MS_PER_SECOND)
}
