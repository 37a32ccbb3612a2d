import { DatabaseSync } from 'node:sqlite'
import { LOCK_WAIT_MS, whenFree } from './lock.ts'
import type { Settings } from './options.ts'
import { ensureSchema } from './schema.ts'

/** Names the database in errors. */
export function describe({ source }: Settings): string {
  return 'path' in source ? `the database ${source.path}` : 'the injected database'
}

/** Gives a connection that is set up and has the tables. */
export async function connect(settings: Settings): Promise<DatabaseSync> {
  const { source, table } = settings
  if ('path' in source) return openFile(source.path, settings)
  await whenFree(() => ensureSchema(source.database, table), settings)
  return source.database
}

async function openFile(path: string, settings: Settings): Promise<DatabaseSync> {
  const database = new DatabaseSync(path, { timeout: LOCK_WAIT_MS })
  try {
    // To change a file to WAL takes a lock of its own, for which processes that start together compete.
    await whenFree(() => {
      database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${settings.synchronous}`)
      ensureSchema(database, settings.table)
    }, settings)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}
