import type { Clock, OrmTransactions, Random } from '@oncemq/core/store'
import { OptionError } from '@oncemq/core'
import {
  givenOptions,
  received,
  requireClock,
  requireInteger,
  requireOneOf,
  requireOrm,
  requireRandom,
  systemClock,
  systemRandom,
} from '@oncemq/core/store'
import type { Mysql2Connection, MysqlCallbackPool, MysqlConnection, MysqlPool } from './client.ts'

/** How far transactions are kept apart, by SQL's own names. */
export type Isolation = 'read committed' | 'repeatable read' | 'serializable'

/** Options of {@link MysqlStore}: either `pool` or `url`, and what has a default. */
export interface MysqlStoreOptions<Connection extends MysqlConnection = Mysql2Connection, Tx = Connection> {
  /**
   * A pool of `mysql2/promise`, or of `mysql2`, of yours, which the store does not close and whose sessions
   * it leaves as they are. It needs `transactionsMax` + 2 connections, so that leases are renewed while
   * handlers hold theirs.
   */
  pool?: MysqlPool<Connection> | MysqlCallbackPool<Connection>
  /**
   * `mysql://user@host/database`. The store makes a pool of its own by the package `mysql2`, which you
   * install, and closes it.
   */
  url?: string
  /**
   * The table of the records, with or without its database: `oncemq`, `app.oncemq`. Each part is a letter or
   * `_`, then letters, digits or `_`; the table has at most 59 characters. Whether case counts is the
   * server's setting. A second table is named `<table>_meta`.
   * @default 'oncemq'
   */
  table?: string
  /**
   * Whether `open()` creates the tables where they are missing. With `false` you create them by the SQL that
   * `schema()` answers, and a missing table is an error.
   * @default true
   */
  createSchema?: boolean
  /**
   * How long an operation may take: to get a connection from the pool, and to be answered. Milliseconds, 1 to
   * 600000. The default is below the core's `storeTimeoutMs`, so that the error says what was waited for.
   * @default 4000
   */
  timeoutMs?: number
  /**
   * How many transactions of handlers are open at a time, each with a connection of its own; further ones
   * wait. 1 to 10000. By default the pool's connections less two, which are for claims and renewals, or 16
   * where the pool has no bound or is the store's own.
   */
  transactionsMax?: number
  /**
   * How far a handler's transaction is kept apart from others. Above `read committed` on MariaDB with
   * `innodb_snapshot_isolation`, which is its default from 11.6 on, a handler has one lease to end in, which
   * is not renewed, as the renewed record would be a conflict.
   * @default 'read committed'
   */
  isolation?: Isolation
  /**
   * After how long without a statement the server ends a handler's transaction: that of a worker whose host
   * vanished would keep its locks for hours. A handler that pauses for longer fails, so this is more than the
   * longest that it does anything else, and at least its `handlerTimeoutMs`. Milliseconds, 1000 to 86400000,
   * rounded up to seconds.
   * @default 60000
   */
  transactionIdleMs?: number
  /**
   * The transactions of the ORM that handlers write with, from `@oncemq/mysql/orms` or your own: `context.tx`
   * is one of these then, on a connection of the pool.
   * @default the connection itself
   */
  transactions?: OrmTransactions<Connection, Tx>
  /** Time for waits, for tests. The system's by default. Leases and retention follow the server's clock. */
  clock?: Clock
  /** Randomness for tokens and for where sweeps begin, for tests. The system's by default. */
  random?: Random
}

/** The defaults of {@link MysqlStoreOptions}, the one place that has them. */
export const mysqlStoreDefaults = Object.freeze({
  table: 'oncemq',
  createSchema: true,
  timeoutMs: 4000,
  isolation: 'read committed' as Isolation,
  transactionIdleMs: 60_000,
})

/** Options as the store uses them: complete, checked and frozen. */
export interface Settings<Connection extends MysqlConnection = MysqlConnection, Tx = unknown> {
  readonly source: { readonly pool: MysqlPool<Connection> } | { readonly url: string }
  readonly table: string
  readonly createSchema: boolean
  readonly timeoutMs: number
  readonly transactionsMax: number
  readonly isolation: Isolation
  readonly transactionIdleMs: number
  readonly transactions: OrmTransactions<Connection, Tx> | undefined
  readonly clock: Clock
  readonly random: Random
}

const TIMEOUT_MAX_MS = 600_000
const TRANSACTIONS_MAX = 10_000
const UNBOUNDED_TRANSACTIONS_MAX = 16
/** What the pool needs beside the connections of handlers. */
export const CONNECTIONS_BESIDE = 2
const TRANSACTION_IDLE_MIN_MS = 1000
const TRANSACTION_IDLE_MAX_MS = 86_400_000
const ISOLATIONS = ['read committed', 'repeatable read', 'serializable'] as const
// 64 characters at most, of which the longest name made from the table's takes 5.
const TABLE_NAME = /^(?:[a-z_][a-z0-9_]{0,63}\.)?[a-z_][a-z0-9_]{0,58}$/i
const URL_SCHEME = /^(?:mysql|mariadb):\/\//

const known = new Set([
  ...Object.keys(mysqlStoreDefaults),
  'pool',
  'url',
  'clock',
  'random',
  'transactions',
  'transactionsMax',
])

/**
 * Checks the options once. @throws OptionError that says what was expected, what was received, and the
 * remedy.
 */
export function settingsOf<Connection extends MysqlConnection, Tx>(
  options: MysqlStoreOptions<Connection, Tx>,
): Settings<Connection, Tx> {
  const given = givenOptions('MysqlStore', options, known)
  const { pool: _pool, url: _url, transactions, ...chosen } = { ...mysqlStoreDefaults, ...given }
  const source = sourceOf(given)
  const { transactionsMax = transactionsOf(source) } = given
  requireTable(chosen.table)
  requireOneOf('createSchema', chosen.createSchema, [true, false])
  requireInteger('timeoutMs', chosen.timeoutMs, 1, TIMEOUT_MAX_MS)
  requireInteger('transactionsMax', transactionsMax, 1, TRANSACTIONS_MAX)
  requireOneOf('isolation', chosen.isolation, ISOLATIONS)
  const { transactionIdleMs, clock = systemClock, random = systemRandom() } = chosen
  requireInteger('transactionIdleMs', transactionIdleMs, TRANSACTION_IDLE_MIN_MS, TRANSACTION_IDLE_MAX_MS)
  requireClock(clock)
  requireRandom(random)
  if (transactions !== undefined) requireOrm('transactions', 'those of an ORM', transactions, ['within'])
  return Object.freeze({ ...chosen, source, transactions, transactionsMax, clock, random })
}

/** All connections but those which handlers that wait for theirs must leave for claims and renewals. */
function transactionsOf(source: Settings['source']): number {
  const limit = 'pool' in source ? connectionLimitOf(source.pool) : undefined
  return limit === undefined ? UNBOUNDED_TRANSACTIONS_MAX : Math.max(1, limit - CONNECTIONS_BESIDE)
}

/** How many connections a pool may have; `undefined` for no limit, or none that can be seen. */
export function connectionLimitOf(pool: MysqlPool): number | undefined {
  const { pool: inner } = pool as { pool?: { config?: { connectionLimit?: unknown } } }
  const limit = inner?.config?.connectionLimit
  // 0 is no limit.
  return typeof limit === 'number' && limit > 0 ? limit : undefined
}

function sourceOf<Connection extends MysqlConnection>({
  pool,
  url,
}: Pick<MysqlStoreOptions<Connection>, 'pool' | 'url'>): Settings<Connection>['source'] {
  if ((pool === undefined) === (url === undefined)) {
    throw new OptionError(
      `MysqlStore: expected either pool or url, received ${pool === undefined ? 'neither' : 'both'}; ` +
        `give { pool: mysql.createPool({ ... }) }, or { url: 'mysql://user@host/database' }`,
    )
  }
  return pool === undefined ? { url: requireUrl(url) } : { pool: requirePool(pool) }
}

function requireUrl(url: unknown): string {
  if (typeof url === 'string' && URL_SCHEME.test(url) && URL.canParse(url)) return url
  // A URL may hold a password: not even a part of it goes into the message.
  const what = typeof url === 'string' ? 'another string' : received(url)
  throw new OptionError(
    `url: expected mysql://user@host/database, received ${what}; correct it, or give { pool }`,
  )
}

function requirePool<Connection extends MysqlConnection>(pool: unknown): MysqlPool<Connection> {
  const given = pool as Partial<MysqlPool<Connection> & MysqlCallbackPool<Connection>> | null
  if (typeof given === 'object' && typeof given?.getConnection === 'function') {
    // Only a pool whose methods take callbacks can be made one of promises.
    if (typeof given.promise === 'function') return given.promise()
    return given as MysqlPool<Connection>
  }
  throw new OptionError(
    `pool: expected a pool of mysql2/promise, received ${received(pool)}; ` +
      `give mysql.createPool(...), or { url } and the store makes one itself`,
  )
}

function requireTable(table: unknown): void {
  if (typeof table === 'string' && TABLE_NAME.test(table)) return
  const what = typeof table === 'string' ? 'another string' : received(table)
  throw new OptionError(
    'table: expected a letter or _, then letters, digits or _, at most 59 in all, after an optional ' +
      `database and a dot, received ${what}; take a plain name such as '${mysqlStoreDefaults.table}' ` +
      "or 'app.oncemq'",
  )
}
