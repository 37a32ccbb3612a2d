import type { DatabaseSync } from 'node:sqlite'
import type { Clock, Random } from '@oncemq/core/store'
import { OptionError } from '@oncemq/core'
import {
  givenOptions,
  received,
  requireClock,
  requireInteger,
  requireOneOf,
  requireRandom,
  systemClock,
  systemRandom,
} from '@oncemq/core/store'
import { nodeSqlite } from './driver.ts'

/** SQLite's own names for when it waits for the disk. */
export type Synchronous = 'OFF' | 'NORMAL' | 'FULL' | 'EXTRA'

/** Options of {@link SqliteStore}: either `path` or `database`, and what has a default. */
export interface SqliteStoreOptions {
  /**
   * The database file; it is created when it is missing, its folder is not. The store opens a connection of
   * its own and closes it. Your own tables may be in the same file: that is what transactions are for.
   */
  path?: string
  /**
   * A connection of yours, which the store neither configures nor closes. While a transaction of the store is
   * open, whatever you write on this connection belongs to it: prefer `path`, which keeps the two apart.
   */
  database?: DatabaseSync
  /**
   * The table of the records: a letter or `_`, then letters, digits or `_`, 1 to 60 characters. Two more
   * names are made from it: `<table>_meta` and `<table>_expires_at`.
   * @default 'oncemq'
   */
  table?: string
  /**
   * When a commit waits for the disk. `FULL`: what was answered survives a power loss. `NORMAL`: it survives
   * the end of the process, not a power loss. Not with `database`, whose own setting counts.
   * @default 'FULL'
   */
  synchronous?: Synchronous
  /**
   * How long an operation waits while another connection, or a transaction of this process, holds the
   * database. Milliseconds, 0 to 600000. The default is below the core's `storeTimeoutMs`, so that the error
   * names the lock.
   * @default 4000
   */
  busyTimeoutMs?: number
  /** Time for waits, for tests. The system's by default. Leases and retention follow SQLite's own clock. */
  clock?: Clock
  /** Randomness for waits, for tests. The system's by default. */
  random?: Random
}

/** The defaults of {@link SqliteStoreOptions}, the one place that has them. */
export const sqliteStoreDefaults = Object.freeze({
  table: 'oncemq',
  synchronous: 'FULL' as Synchronous,
  busyTimeoutMs: 4000,
})

/** Options as the store uses them: complete, checked and frozen. */
export interface Settings {
  readonly source: { readonly path: string } | { readonly database: DatabaseSync }
  readonly table: string
  readonly synchronous: Synchronous
  readonly busyTimeoutMs: number
  readonly clock: Clock
  readonly random: Random
}

const BUSY_TIMEOUT_MAX_MS = 600_000
const SYNCHRONOUS = ['OFF', 'NORMAL', 'FULL', 'EXTRA'] as const
// SQLite keeps names that begin with sqlite_ for itself.
const TABLE_NAME = /^(?!sqlite_)[a-z_][a-z0-9_]{0,59}$/i

const known = new Set([...Object.keys(sqliteStoreDefaults), 'path', 'database', 'clock', 'random'])

/**
 * Checks the options once. @throws OptionError that says what was expected, what was received, and the
 * remedy.
 */
export function settingsOf(options: SqliteStoreOptions): Settings {
  const given = givenOptions('SqliteStore', options, known)
  const { table, synchronous, busyTimeoutMs } = { ...sqliteStoreDefaults, ...given }
  const source = sourceOf(given)
  requireTable(table)
  requireOneOf('synchronous', synchronous, SYNCHRONOUS)
  requireInteger('busyTimeoutMs', busyTimeoutMs, 0, BUSY_TIMEOUT_MAX_MS)
  const { clock = systemClock, random = systemRandom() } = given
  requireClock(clock)
  requireRandom(random)
  return Object.freeze({ source, table, synchronous, busyTimeoutMs, clock, random })
}

function sourceOf({ path, database, synchronous }: SqliteStoreOptions): Settings['source'] {
  if ((path === undefined) === (database === undefined)) {
    throw new OptionError(
      `SqliteStore: expected either path or database, received ${path === undefined ? 'neither' : 'both'}; ` +
        `give { path: 'oncemq.db' }, or { database } for a connection that you opened`,
    )
  }
  if (path !== undefined) {
    nodeSqlite()
    return { path: requirePath(path) }
  }
  if (synchronous !== undefined) {
    throw new OptionError(
      `synchronous: expected none together with database, received one; ` +
        `set PRAGMA synchronous on the connection that you opened`,
    )
  }
  return { database: requireDatabase(database) }
}

function requirePath(path: unknown): string {
  // SQLite takes an empty path for a temporary file that nobody else sees.
  if (typeof path === 'string' && path !== '' && !path.includes('\0')) return path
  const what =
    typeof path !== 'string' ? received(path) : path === '' ? 'an empty one' : 'one with a NUL character'
  throw new OptionError(`path: expected the path of a file, received ${what}; give one such as 'oncemq.db'`)
}

function requireDatabase(database: unknown): DatabaseSync {
  const methods = ['prepare', 'exec', 'location'] as const
  const given = database as DatabaseSync | null | undefined
  if (typeof given === 'object' && methods.every((method) => typeof given?.[method] === 'function')) {
    return given as DatabaseSync
  }
  throw new OptionError(
    `database: expected a DatabaseSync of node:sqlite, received ${received(database)}; ` +
      `give { path } and the store opens one itself`,
  )
}

function requireTable(table: unknown): void {
  if (typeof table === 'string' && TABLE_NAME.test(table)) return
  const what = typeof table === 'string' ? 'another string' : received(table)
  throw new OptionError(
    `table: expected a letter or _, then letters, digits or _, at most 60 in all and not sqlite_..., ` +
      `received ${what}; take a plain name such as '${sqliteStoreDefaults.table}'`,
  )
}
