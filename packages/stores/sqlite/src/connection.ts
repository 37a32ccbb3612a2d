import { closeSync, openSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { printable } from '@oncemq/core/store'
import { nodeSqlite } from './driver.ts'
import { isBusy } from './errors.ts'
import { LOCK_WAIT_MS, lockOf, whenFree } from './lock.ts'
import type { Settings } from './options.ts'
import { ensureSchema } from './schema.ts'

/**
 * Ids are random, so each claim changes an index page of its own. With room for those pages, 100,000 messages
 * were measured to take 10,000 reads instead of 35,000. Checkpoints are sixteen times as rare as by default:
 * each copies every page once that changed since the last one, and most of them change often. An eighth more
 * messages than with four times as rare, one commit in a hundred over 5 ms instead of 17, the longest 27 ms
 * instead of 20. The WAL takes up to 64 MB, and to open such a one after a crash takes some 40 ms.
 */
const ROOM = 'PRAGMA cache_size = -16000; PRAGMA wal_autocheckpoint = 16000'

const OWNER_ONLY = 0o600
// https://sqlite.org/uri.html: file:, a host that is empty or localhost, the path, and options.
const URI = /^file:(?:\/\/(?:localhost)?(?=\/))?([^?#]*)(?:\?([^#]*))?/

/** Names the database in errors. */
export function nameOf({ source }: Settings): string {
  return 'path' in source ? `the database ${printable(source.path)}` : 'the injected database'
}

/** Gives a connection that is set up, can write, and has the tables. */
export async function connect(settings: Settings): Promise<DatabaseSync> {
  const { source } = settings
  if ('database' in source) return prepare(source.database, '', settings)
  const { DatabaseSync } = nodeSqlite()
  createForOwner(source.path)
  const database = new DatabaseSync(source.path, { timeout: LOCK_WAIT_MS })
  try {
    const pragmas = `PRAGMA journal_mode = WAL; PRAGMA synchronous = ${settings.synchronous}; ${ROOM}`
    return await prepare(database, pragmas, settings)
  } catch (error) {
    database.close()
    throw error
  }
}

/**
 * Creates the file where it is missing, for its owner alone: keys and labels can be read in it. SQLite would
 * let everyone read it, and gives the WAL journal's two files the rights that this one has.
 */
function createForOwner(path: string): void {
  const file = fileOf(path)
  if (file === undefined) return
  try {
    closeSync(openSync(file, 'wx', OWNER_ONLY))
  } catch {
    // It is there already, with the rights that its owner gave it; or SQLite says better what is wrong.
  }
}

/** The file that SQLite creates for this path, which may be a URI; `undefined` when it creates none. */
function fileOf(path: string): string | undefined {
  if (!path.startsWith('file:')) return path === ':memory:' ? undefined : path
  const [, name = '', query = ''] = URI.exec(path) ?? []
  if (name === '' || name === ':memory:' || /(?:^|&)mode=(?!rwc)/.test(query)) return undefined
  try {
    return decodeURIComponent(name)
  } catch {
    return undefined
  }
}

async function prepare(database: DatabaseSync, pragmas: string, settings: Settings): Promise<DatabaseSync> {
  // To change a file to WAL takes a lock of its own, for which processes that start together compete.
  await whenFree(() => {
    database.exec(pragmas)
    ensureSchema(database, settings.table)
  }, settings)
  requireWritable(database, settings.table)
  return database
}

/** SQLite opens a file that may not be written for reading, without a word, and lets a transaction begin. */
function requireWritable(database: DatabaseSync, table: string): void {
  try {
    lockOf(database)()
  } catch (error) {
    // Where others write, we can.
    if (isBusy(error)) return
    throw error
  }
  try {
    database.exec(`DELETE FROM "${table}_meta" WHERE false`)
  } finally {
    database.exec('ROLLBACK')
  }
}
