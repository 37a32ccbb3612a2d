import type { DatabaseSync } from 'node:sqlite'
import { StoreError } from '@oncemq/core/store'
import { lockOf } from './lock.ts'

const SCHEMA_VERSION = 1

/**
 * The tables as SQL. An ordinary table, not one WITHOUT ROWID: new records are appended and the random ids
 * touch only the small index, which was measured to be more than twice as fast. NOT NULL on the id, since
 * SQLite takes several NULLs for different primary keys. The index on expires_at costs a tenth of the speed
 * and makes each sweep short.
 */
export function schemaSql(table: string): string {
  return `
CREATE TABLE IF NOT EXISTS "${table}" (
  id          BLOB    NOT NULL PRIMARY KEY, -- 16 bytes
  state       INTEGER NOT NULL,             -- 0 free, 1 running, 2 done
  claim_id    BLOB    NOT NULL,             -- 16 bytes, of the last grant
  epoch       INTEGER NOT NULL,             -- grants so far
  attempts    INTEGER NOT NULL,
  lease_until INTEGER NOT NULL,             -- milliseconds since 1970, as all times; 0 unless running
  expires_at  INTEGER NOT NULL,             -- when the record may be swept
  fingerprint BLOB,                         -- 16 bytes
  label       TEXT,                         -- group and key for people
  result      BLOB
) STRICT;
CREATE INDEX IF NOT EXISTS "${table}_expires_at" ON "${table}" (expires_at);
CREATE TABLE IF NOT EXISTS "${table}_logs" (
  id             BLOB    NOT NULL PRIMARY KEY, -- 16 bytes
  epoch          INTEGER NOT NULL,             -- takes so far
  next_offset    INTEGER NOT NULL,             -- after the last record that took effect; -1: none yet
  started_offset INTEGER NOT NULL,             -- the record whose starts were counted last; -1 for none
  starts         INTEGER NOT NULL,
  is_held        INTEGER NOT NULL,             -- until it is released
  was_held       INTEGER NOT NULL,             -- before the last take
  label          TEXT                          -- group and log for people
) STRICT;
CREATE TABLE IF NOT EXISTS "${table}_meta" (
  name  TEXT    NOT NULL PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO "${table}_meta" (name, value) VALUES ('schema_version', ${SCHEMA_VERSION});
`
}

/**
 * Creates the tables where they are missing. Safe when several processes do it at once: the first that gets
 * the write lock creates, the others find its work. Where the tables exist nothing is written and no lock is
 * needed.
 * @throws StoreError `ONCEMQ_STORE_CORRUPT` when the tables are of another version.
 */
export function ensureSchema(database: DatabaseSync, table: string): void {
  if (!hasMeta(database, table)) create(database, table)
  const row = database.prepare(`SELECT value FROM "${table}_meta" WHERE name = 'schema_version'`).get()
  const version = row?.['value']
  if (version === SCHEMA_VERSION) return
  throw new StoreError(
    'ONCEMQ_STORE_CORRUPT',
    `SqliteStore: expected schema version ${SCHEMA_VERSION} in table ${table}_meta, received ` +
      `${String(version ?? 'none')}; use the version of @oncemq/sqlite that created it`,
  )
}

function hasMeta(database: DatabaseSync, table: string): boolean {
  const named = database.prepare(
    `SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE`,
  )
  return named.get(`${table}_meta`) !== undefined
}

function create(database: DatabaseSync, table: string): void {
  lockOf(database)()
  try {
    database.exec(schemaSql(table))
    database.exec('COMMIT')
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}
