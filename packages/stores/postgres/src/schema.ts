import { StoreError } from '@oncemq/core/store'
import type { Connections } from './connection.ts'
import { SQLSTATE, sqlState } from './errors.ts'
import type { Settings } from './options.ts'
import type { Tables } from './statements.ts'
import { tablesOf } from './statements.ts'

const SCHEMA_VERSION = 1

/**
 * The tables as SQL. Ids are `uuid`, which is 16 bytes of any content and compared as bytes. Half of each
 * page is left free and no index but the primary key is there, so that the new version of a record, at its
 * completion, stands on the same page and touches no index (a HOT update).
 */
export function schemaSql(table: string): string {
  const { records, meta, logs } = tablesOf(table)
  return `
CREATE TABLE IF NOT EXISTS ${records} (
  id          uuid        NOT NULL PRIMARY KEY,
  state       smallint    NOT NULL, -- 0 free, 1 running, 2 done
  attempts    integer     NOT NULL,
  epoch       bigint      NOT NULL, -- grants so far
  claim_id    uuid        NOT NULL, -- of the last grant
  lease_until timestamptz,          -- NULL unless running
  expires_at  timestamptz NOT NULL, -- when the record may be swept
  fingerprint uuid,
  label       text,                 -- group and key for people
  result      bytea
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS ${logs} (
  id             uuid    NOT NULL PRIMARY KEY,
  epoch          bigint  NOT NULL, -- takes so far
  next_offset    bigint  NOT NULL, -- after the last record that took effect; -1 while there is none
  started_offset bigint  NOT NULL, -- the record whose starts were counted last; -1 for none
  starts         integer NOT NULL,
  is_held        boolean NOT NULL, -- until it is released
  was_held       boolean NOT NULL, -- before the last take
  label          text              -- group and log for people
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS ${meta} (
  name  text   NOT NULL PRIMARY KEY,
  value bigint NOT NULL
);
INSERT INTO ${meta} (name, value) VALUES ('schema_version', ${SCHEMA_VERSION}), ('sweep_block', 0)
ON CONFLICT (name) DO NOTHING;
`
}

/**
 * Creates the tables where they are missing, if the options allow it. Safe when several processes do it at
 * once: they take turns by an advisory lock that ends with the transaction. Where the tables exist nothing is
 * written.
 * @throws StoreError `ONCEMQ_STORE_CORRUPT` when the tables are of another version.
 */
export async function ensureSchema(
  connections: Connections,
  { table, createSchema }: Settings,
): Promise<void> {
  const { meta } = tablesOf(table)
  let version: number | undefined
  try {
    version = await readVersion(connections, meta)
  } catch (error) {
    if (!createSchema || sqlState(error) !== SQLSTATE.TABLE_MISSING) throw error
    await create(connections, table)
    version = await readVersion(connections, meta)
  }
  if (version === SCHEMA_VERSION) return
  throw new StoreError(
    'ONCEMQ_STORE_CORRUPT',
    `PostgresStore: expected schema version ${SCHEMA_VERSION} in table ${table}_meta, received ` +
      `${version ?? 'none'}; use the version of @oncemq/postgres that created it, or a newer one`,
  )
}

async function readVersion(connections: Connections, meta: Tables['meta']): Promise<number | undefined> {
  const found = await connections.run(
    `SELECT value::text AS answer FROM ${meta} WHERE name = 'schema_version'`,
  )
  return found[0] === undefined ? undefined : Number(found[0])
}

/** Statements that are sent together without parameters are one transaction. */
async function create(connections: Connections, table: string): Promise<void> {
  const lock = `SELECT pg_advisory_xact_lock(hashtextextended('oncemq:${table}', 0));`
  await connections.script(lock + schemaSql(table))
}
