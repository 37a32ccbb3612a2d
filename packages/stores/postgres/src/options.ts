import type { Clock, OrmTransactions } from '@oncemq/core/store'
import { OptionError } from '@oncemq/core'
import {
  givenOptions,
  received,
  requireClock,
  requireInteger,
  requireOneOf,
  requireOrm,
  systemClock,
} from '@oncemq/core/store'
import type { PgClient, PostgresClient, PostgresPool } from './client.ts'

/** PostgreSQL's own names for how far transactions are kept apart. */
export type Isolation = 'read committed' | 'repeatable read' | 'serializable'

/** Options of {@link PostgresStore}: either `pool` or `url`, and what has a default. */
export interface PostgresStoreOptions<Client extends PostgresClient = PgClient, Tx = Client> {
  /**
   * A `pg.Pool` of yours, which the store does not close. It needs `transactionsMax` + 2 connections, so that
   * leases are renewed while handlers hold theirs.
   */
  pool?: PostgresPool<Client>
  /**
   * `postgres://user@host/database`. The store makes a pool of its own by the package `pg`, which you
   * install, and closes it.
   */
  url?: string
  /**
   * The table of the records, with or without its schema: `oncemq`, `app.oncemq`. Each part is a letter or
   * `_`, then letters, digits or `_`; the table has at most 58 characters. Case counts. A second table is
   * named `<table>_meta`.
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
   * How far a handler's transaction is kept apart from others. Above `read committed` its handler has one
   * lease to end in, which is not renewed, as the renewed record would be a conflict.
   * @default 'read committed'
   */
  isolation?: Isolation
  /**
   * After how long without a statement the server ends a handler's transaction: that of a worker whose host
   * vanished would keep its locks for hours. A handler that pauses for longer fails, so this is more than the
   * longest that it does anything else, and at least its `handlerTimeoutMs`. Milliseconds, 1000 to 86400000.
   * @default 60000
   */
  transactionIdleMs?: number
  /**
   * The transactions of the ORM that handlers write with, from `@oncemq/postgres/orms` or your own:
   * `context.tx` is one of these then, on a connection of the pool.
   * @default the connection itself
   */
  transactions?: OrmTransactions<Client, Tx>
  /**
   * Time for waits, for tests. The system's by default. Leases and retention follow the server's own clock.
   */
  clock?: Clock
}

/** The defaults of {@link PostgresStoreOptions}, the one place that has them. */
export const postgresStoreDefaults = Object.freeze({
  table: 'oncemq',
  createSchema: true,
  timeoutMs: 4000,
  isolation: 'read committed' as Isolation,
  transactionIdleMs: 60_000,
})

/** Options as the store uses them: complete, checked and frozen. */
export interface Settings<Client extends PostgresClient = PostgresClient, Tx = unknown> {
  readonly source: { readonly pool: PostgresPool<Client> } | { readonly url: string }
  readonly table: string
  readonly createSchema: boolean
  readonly timeoutMs: number
  readonly transactionsMax: number
  readonly isolation: Isolation
  readonly transactionIdleMs: number
  readonly transactions: OrmTransactions<Client, Tx> | undefined
  readonly clock: Clock
}

const TIMEOUT_MAX_MS = 600_000
const TRANSACTIONS_MAX = 10_000
const UNBOUNDED_TRANSACTIONS_MAX = 16
/** What the pool needs beside the connections of handlers. */
export const CONNECTIONS_BESIDE = 2
const TRANSACTION_IDLE_MIN_MS = 1000
const TRANSACTION_IDLE_MAX_MS = 86_400_000
const ISOLATIONS = ['read committed', 'repeatable read', 'serializable'] as const
// 63 bytes at most, of which the longest name made from the table's takes 5.
const TABLE_NAME = /^(?:[a-z_][a-z0-9_]{0,62}\.)?[a-z_][a-z0-9_]{0,57}$/i
const URL_SCHEME = /^postgres(?:ql)?:\/\//

const known = new Set([
  ...Object.keys(postgresStoreDefaults),
  'pool',
  'url',
  'transactions',
  'clock',
  'transactionsMax',
])

/**
 * Checks the options once. @throws OptionError that says what was expected, what was received, and the
 * remedy.
 */
export function settingsOf<Client extends PostgresClient, Tx>(
  options: PostgresStoreOptions<Client, Tx>,
): Settings<Client, Tx> {
  const given = givenOptions('PostgresStore', options, known)
  const {
    pool: _pool,
    url: _url,
    clock = systemClock,
    transactions,
    ...chosen
  } = {
    ...postgresStoreDefaults,
    ...given,
  }
  const source = sourceOf(given)
  const { transactionsMax = transactionsOf(source) } = given
  requireTable(chosen.table)
  requireOneOf('createSchema', chosen.createSchema, [true, false])
  requireInteger('timeoutMs', chosen.timeoutMs, 1, TIMEOUT_MAX_MS)
  requireInteger('transactionsMax', transactionsMax, 1, TRANSACTIONS_MAX)
  requireOneOf('isolation', chosen.isolation, ISOLATIONS)
  const { transactionIdleMs } = chosen
  requireInteger('transactionIdleMs', transactionIdleMs, TRANSACTION_IDLE_MIN_MS, TRANSACTION_IDLE_MAX_MS)
  requireClock(clock)
  if (transactions !== undefined) requireOrm('transactions', 'those of an ORM', transactions, ['within'])
  return Object.freeze({ ...chosen, source, transactions, transactionsMax, clock })
}

/** All connections but those which handlers that wait for theirs must leave for claims and renewals. */
function transactionsOf(source: Settings['source']): number {
  const max = 'pool' in source ? source.pool.options?.max : undefined
  return max === undefined ? UNBOUNDED_TRANSACTIONS_MAX : Math.max(1, max - CONNECTIONS_BESIDE)
}

function sourceOf<Client extends PostgresClient>({
  pool,
  url,
}: Pick<PostgresStoreOptions<Client>, 'pool' | 'url'>): Settings<Client>['source'] {
  if ((pool === undefined) === (url === undefined)) {
    throw new OptionError(
      `PostgresStore: expected either pool or url, received ${pool === undefined ? 'neither' : 'both'}; ` +
        `give { pool: new pg.Pool() }, or { url: 'postgres://user@host/database' }`,
    )
  }
  return pool === undefined ? { url: requireUrl(url) } : { pool: requirePool(pool) }
}

function requireUrl(url: unknown): string {
  if (typeof url === 'string' && URL_SCHEME.test(url) && URL.canParse(url)) return url
  // A URL may hold a password: not even a part of it goes into the message.
  const what = typeof url === 'string' ? 'another string' : received(url)
  throw new OptionError(
    `url: expected postgres://user@host/database, received ${what}; correct it, or give { pool }`,
  )
}

function requirePool<Client extends PostgresClient>(pool: unknown): PostgresPool<Client> {
  const methods = ['connect', 'on', 'removeListener'] as const
  const given = pool as PostgresPool<Client> | null
  const fits = typeof given === 'object' && methods.every((method) => typeof given?.[method] === 'function')
  // A client has `connect` and `on` too, and `query`; what only a pool has is the count of its connections.
  if (fits && 'totalCount' in (given as object)) return given as PostgresPool<Client>
  throw new OptionError(
    `pool: expected a Pool of the package pg, received ${received(pool)}; ` +
      `give new pg.Pool(...), or { url } and the store makes one itself`,
  )
}

function requireTable(table: unknown): void {
  if (typeof table === 'string' && TABLE_NAME.test(table)) return
  const what = typeof table === 'string' ? 'another string' : received(table)
  throw new OptionError(
    `table: expected a letter or _, then letters, digits or _, at most 58 in all, after an optional schema ` +
      `and a dot, received ${what}; take a plain name such as 'oncemq' or 'app.oncemq'`,
  )
}
