import { StoreError } from '@oncemq/core/store'
import type { Connections } from './connection.ts'
import { MYSQL, errorNumber } from './errors.ts'
import type { Settings } from './options.ts'
import { tablesOf } from './statements.ts'

const SCHEMA_VERSION = 1

/**
 * The tables as SQL. The key is binary: any collation of text would take different keys for the same. There
 * is no index beside it, so that a completion changes nothing but the record itself.
 */
export function schemaSql(table: string): string {
  return statementsOf(table)
    .map((statement) => `${statement};\n`)
    .join('')
}

function statementsOf(table: string): readonly string[] {
  const { records, meta, logs } = tablesOf(table)
  return [
    `CREATE TABLE IF NOT EXISTS ${records} (
  id          BINARY(16)   NOT NULL PRIMARY KEY,
  state       TINYINT      NOT NULL, -- 0 free, 1 running, 2 done
  claim_id    BINARY(16)   NOT NULL, -- of the last grant
  epoch       INT UNSIGNED NOT NULL, -- grants so far
  attempts    INT UNSIGNED NOT NULL,
  lease_until BIGINT       NOT NULL, -- milliseconds since 1970, as all times; 0 unless running
  expires_at  BIGINT       NOT NULL, -- when the record may be swept
  fingerprint BINARY(16),
  label       VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, -- group and key for people
  result      LONGBLOB
) ENGINE = InnoDB`,
    `CREATE TABLE IF NOT EXISTS ${logs} (
  id             BINARY(16)      NOT NULL PRIMARY KEY,
  epoch          BIGINT UNSIGNED NOT NULL, -- takes so far
  next_offset    BIGINT          NOT NULL, -- after the last record that took effect; -1 while there is none
  started_offset BIGINT          NOT NULL, -- the record whose starts were counted last; -1 for none
  starts         INT UNSIGNED    NOT NULL,
  is_held        TINYINT         NOT NULL, -- until it is released
  was_held       TINYINT         NOT NULL, -- before the last take
  label          VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin -- group and log for people
) ENGINE = InnoDB`,
    `CREATE TABLE IF NOT EXISTS ${meta} (
  name  VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  value BIGINT NOT NULL
) ENGINE = InnoDB`,
    `INSERT INTO ${meta} (name, value) VALUES ('schema_version', ${SCHEMA_VERSION}), ('sweep_until', 0)
ON DUPLICATE KEY UPDATE value = value`,
  ]
}

/**
 * Creates the tables where they are missing, if the options allow it. Safe when several processes do it at
 * once: each statement does nothing where its work is done, and the version comes last. Where the tables
 * exist nothing is written.
 * @throws StoreError `ONCEMQ_STORE_CORRUPT` when the tables are of another version.
 */
export async function ensureSchema(
  connections: Connections,
  { table, createSchema }: Settings,
): Promise<void> {
  let version = await readVersion(connections, table, createSchema)
  if (version === undefined && createSchema) {
    for (const statement of statementsOf(table)) await connections.write(statement)
    version = await readVersion(connections, table, false)
  }
  if (version === SCHEMA_VERSION) return
  throw new StoreError(
    'ONCEMQ_STORE_CORRUPT',
    `MysqlStore: expected schema version ${SCHEMA_VERSION} in table ${table}_meta, received ` +
      `${version ?? 'none'}; use the version of @oncemq/mysql that created it, or a newer one`,
  )
}

async function readVersion(
  connections: Connections,
  table: string,
  mayMiss: boolean,
): Promise<number | undefined> {
  const { meta } = tablesOf(table)
  try {
    const [row] = await connections.read(`SELECT value FROM ${meta} WHERE name = 'schema_version'`)
    return row === undefined ? undefined : Number(row[0])
  } catch (error) {
    if (mayMiss && errorNumber(error) === MYSQL.TABLE_MISSING) return undefined
    throw error
  }
}
