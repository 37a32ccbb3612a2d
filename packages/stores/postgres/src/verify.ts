import type { Finding } from '@oncemq/core/store'
import { StoreError } from '@oncemq/core/store'
import type { PostgresPool } from './client.ts'
import type { Connections } from './connection.ts'
import { CONNECTIONS_BESIDE } from './options.ts'
import type { Settings } from './options.ts'
import { tablesOf } from './statements.ts'

/**
 * The oldest version that reads a range of the table without reading what is before it, as the sweep does.
 */
const VERSION_MIN = 140_000

interface ServerSettings {
  readonly version: number
  readonly isReadOnly: boolean
  readonly isUnlogged: boolean
  readonly fsync: string
  readonly fullPageWrites: string
  readonly synchronousCommit: string
  readonly standbys: string
  readonly encoding: string
}

/** The schema in which the pool's sessions find the table. */
export async function readSchema(connections: Connections, table: string): Promise<string> {
  const { records } = tablesOf(table)
  const [schema] = await connections.run(
    `SELECT nspname AS answer FROM pg_class JOIN pg_namespace space ON space.oid = relnamespace ` +
      `WHERE pg_class.oid = '${records}'::regclass`,
  )
  return schema as string
}

/**
 * What the user of this server should know about its settings. Reads them and changes nothing.
 * @throws StoreError `ONCEMQ_STORE_UNAVAILABLE` while the server is read-only: it may become a primary.
 */
export async function verify(
  connections: Connections,
  pool: PostgresPool,
  { table, transactionsMax }: Settings,
): Promise<readonly Finding[]> {
  const server = await readSettings(connections, table)
  if (server.isReadOnly) throw readOnly()
  return [
    unlogged(server, table),
    fsync(server),
    synchronousCommit(server),
    fullPageWrites(server),
    encoding(server),
    version(server),
    poolSize(pool, transactionsMax),
  ].filter((finding) => finding !== undefined)
}

async function readSettings(connections: Connections, table: string): Promise<ServerSettings> {
  const { records, meta, logs } = tablesOf(table)
  const [answer] = await connections.run(`
    SELECT json_build_object(
      'version', current_setting('server_version_num')::integer,
      'isReadOnly', pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean,
      'isUnlogged', (SELECT bool_or(relpersistence <> 'p') FROM pg_class
        WHERE oid IN ('${records}'::regclass, '${meta}'::regclass, to_regclass('${logs}'))),
      'fsync', current_setting('fsync'),
      'fullPageWrites', current_setting('full_page_writes'),
      'synchronousCommit', current_setting('synchronous_commit'),
      'standbys', current_setting('synchronous_standby_names'),
      'encoding', current_setting('server_encoding'))::text AS answer`)
  return JSON.parse(answer as string) as ServerSettings
}

function unlogged({ isUnlogged }: ServerSettings, table: string): Finding | undefined {
  if (!isUnlogged) return undefined
  return {
    severity: 'error',
    code: 'postgres-unlogged',
    found: `The table ${table} is UNLOGGED or temporary: after a crash it is empty, and all keys run again.`,
    remedy: 'ALTER TABLE ... SET LOGGED, for the table and for those with _meta and _logs at their end.',
  }
}

function fsync({ fsync: setting }: ServerSettings): Finding | undefined {
  if (setting === 'on') return undefined
  return {
    severity: 'error',
    code: 'postgres-fsync',
    found: 'fsync is off: a crash of the machine may lose what was answered, and damage the whole database.',
    remedy: 'Set fsync = on in the server.',
  }
}

function synchronousCommit({ synchronousCommit: setting, standbys }: ServerSettings): Finding | undefined {
  if (setting === 'off') {
    return {
      severity: 'error',
      code: 'postgres-synchronous-commit',
      found:
        'synchronous_commit is off: a crash of the server loses the last answered commits: ' +
        "the completions of acked messages and, in transactions, the handlers' writes.",
      remedy:
        'Set synchronous_commit = on for this user or database: ALTER ROLE ... SET synchronous_commit = on.',
    }
  }
  if (setting !== 'local' || standbys === '') return undefined
  return {
    severity: 'warning',
    code: 'postgres-synchronous-commit',
    found: 'synchronous_commit is local: a failover to the standby may lose what was answered.',
    remedy: 'Set synchronous_commit = on for this user or database.',
  }
}

function fullPageWrites({ fullPageWrites: setting }: ServerSettings): Finding | undefined {
  if (setting === 'on') return undefined
  return {
    severity: 'warning',
    code: 'postgres-full-page-writes',
    found: 'full_page_writes is off: a power loss may damage pages, unless the filesystem prevents that.',
    remedy: 'Set full_page_writes = on in the server.',
  }
}

function encoding({ encoding: setting }: ServerSettings): Finding | undefined {
  if (setting === 'UTF8') return undefined
  return {
    severity: 'error',
    code: 'postgres-encoding',
    found: `The database's encoding is ${setting}: a key with a character that it lacks cannot be claimed.`,
    remedy: 'Use a database with ENCODING UTF8, or set storeReadableKey: false.',
  }
}

function version({ version: setting }: ServerSettings): Finding | undefined {
  if (setting >= VERSION_MIN) return undefined
  return {
    severity: 'warning',
    code: 'postgres-version',
    found: `PostgreSQL ${Math.floor(setting / 10_000)} is older than what is tested; sweeps are slow on it.`,
    remedy: 'Use PostgreSQL 14 or newer.',
  }
}

function poolSize({ options }: PostgresPool, transactionsMax: number): Finding | undefined {
  const needed = transactionsMax + CONNECTIONS_BESIDE
  if (options?.max === undefined || options.max >= needed) return undefined
  return {
    severity: 'warning',
    code: 'postgres-pool',
    found:
      `The pool has ${options.max} connections and transactionsMax is ${transactionsMax}: ` +
      'handlers may hold them all, and leases end unrenewed meanwhile.',
    remedy: `Raise the pool's max to ${needed}, or lower transactionsMax.`,
  }
}

function readOnly(): StoreError {
  return new StoreError(
    'ONCEMQ_STORE_UNAVAILABLE',
    'PostgresStore: expected a server that can be written, received a standby or one set read-only; ' +
      'connect to the primary, or unset default_transaction_read_only',
  )
}
