import type { Finding } from '@oncemq/core/store'
import { StoreError } from '@oncemq/core/store'
import type { MysqlPool } from './client.ts'
import type { Connections } from './connection.ts'
import { dialectOf, tooOld } from './dialect.ts'
import { CONNECTIONS_BESIDE, connectionLimitOf } from './options.ts'
import type { Settings } from './options.ts'

const NAMES = [
  'binlog_format',
  'group_replication_group_name',
  'group_replication_single_primary_mode',
  'innodb_flush_log_at_trx_commit',
  'innodb_snapshot_isolation',
  'log_bin',
  'max_allowed_packet',
  'sql_safe_updates',
  'sync_binlog',
  'transaction_isolation',
  'version',
  'wsrep_on',
] as const

/** Settings of the server by their names; those that it does not have are undefined. */
export type Variables = Readonly<Partial<Record<(typeof NAMES)[number], string>>>

/** Reads what the store needs to know of the server. */
export async function readVariables(connections: Connections): Promise<Variables> {
  const names = NAMES.map((name) => `'${name}'`).join(', ')
  const rows = await connections.read(`SHOW VARIABLES WHERE Variable_name IN (${names})`)
  return Object.fromEntries(rows.map(([name, value]) => [String(name), String(value ?? '')]))
}

/** The database that the pool's sessions are in, if any. */
export async function readDatabase(connections: Connections): Promise<string | undefined> {
  const [row] = await connections.read('SELECT CAST(DATABASE() AS BINARY)')
  return row?.[0]?.toString()
}

/**
 * What the user of this server should know about its settings. Reads them and changes nothing.
 * @throws StoreError when the table is missing.
 */
export async function verify(
  connections: Connections,
  pool: MysqlPool,
  variables: Variables,
  { table, transactionsMax }: Settings,
): Promise<readonly Finding[]> {
  return [
    ...(await tableFindings(connections, table)),
    version(variables),
    binlogFormat(variables),
    safeUpdates(variables),
    flushLog(variables),
    syncBinlog(variables),
    severalPrimaries(variables),
    poolSize(pool, transactionsMax),
  ].filter((finding) => finding !== undefined)
}

/** Tables that were created by hand, or moved to another engine. */
async function tableFindings(
  connections: Connections,
  table: string,
): Promise<readonly (Finding | undefined)[]> {
  const [name, database] = table.split('.').toReversed()
  const place = `TABLE_SCHEMA = ${database === undefined ? 'DATABASE()' : `'${database}'`}`
  const [row] = await connections.read(`
    SELECT (SELECT MAX(ENGINE) FROM information_schema.TABLES
        WHERE ${place} AND TABLE_NAME IN ('${name}', '${name}_meta', '${name}_logs') AND ENGINE <> 'InnoDB'),
      (SELECT LOWER(COLUMN_TYPE) FROM information_schema.COLUMNS
        WHERE ${place} AND TABLE_NAME = '${name}' AND COLUMN_NAME = 'id')`)
  const [engine, type] = (row ?? []).map((cell) => cell?.toString())
  if (type === undefined) throw missing(table)
  return [engineFinding(table, engine), keyFinding(table, type)]
}

function engineFinding(table: string, engine: string | undefined): Finding | undefined {
  if (engine === undefined) return undefined
  return {
    severity: 'error',
    code: 'mysql-engine',
    found: `The table ${table}, or one with _meta or _logs at its end, is kept by ${engine}.`,
    remedy: 'ALTER TABLE ... ENGINE = InnoDB, for each.',
  }
}

function keyFinding(table: string, type: string): Finding | undefined {
  if (type === 'binary(16)') return undefined
  return {
    severity: 'error',
    code: 'mysql-key',
    found: `The column id of ${table} is ${type}: different keys may compare equal, or be cut off.`,
    remedy: 'Create the table by the SQL that schema() answers: id is BINARY(16).',
  }
}

function version({ version: found = '' }: Variables): Finding | undefined {
  const needed = tooOld(found)
  if (needed === undefined) return undefined
  return {
    severity: 'error',
    code: 'mysql-version',
    found: `The server is ${found}, which lacks what the store's statements use.`,
    remedy: `Use ${needed} or newer.`,
  }
}

function binlogFormat({ log_bin: log, binlog_format: format }: Variables): Finding | undefined {
  if (log !== 'ON' || format !== 'STATEMENT') return undefined
  return {
    severity: 'error',
    code: 'mysql-binlog-format',
    found: 'binlog_format is STATEMENT: the server refuses to write at READ COMMITTED, as the store does.',
    remedy: 'Set binlog_format = ROW, or MIXED.',
  }
}

function safeUpdates({ version: server = '', sql_safe_updates: setting }: Variables): Finding | undefined {
  if (setting !== 'ON' || !dialectOf(server).refusesSafeUpdates) return undefined
  return {
    severity: 'error',
    code: 'mysql-safe-updates',
    found: 'sql_safe_updates is on for the sessions of the pool: the server refuses to complete batches.',
    remedy: 'Leave sql_safe_updates off; it is made for people at a prompt.',
  }
}

function flushLog({ innodb_flush_log_at_trx_commit: setting }: Variables): Finding | undefined {
  // MariaDB's 3 flushes at least as often as 1.
  if (setting === undefined || setting === '1' || setting === '3') return undefined
  return {
    severity: 'warning',
    code: 'mysql-flush-log',
    found:
      `innodb_flush_log_at_trx_commit is ${setting}: ` +
      (setting === '0' ? 'a crash of the server' : 'a power loss') +
      ' loses the last second of what was answered, and these messages may run again.',
    remedy: 'Set innodb_flush_log_at_trx_commit = 1.',
  }
}

function syncBinlog({ log_bin: log, sync_binlog: setting }: Variables): Finding | undefined {
  if (log !== 'ON' || setting === undefined || setting === '1') return undefined
  return {
    severity: 'warning',
    code: 'mysql-sync-binlog',
    found: `sync_binlog is ${setting}: after a power loss replicas may lack what was answered, or have more.`,
    remedy: 'Set sync_binlog = 1.',
  }
}

function severalPrimaries(variables: Variables): Finding | undefined {
  const isGalera = variables.wsrep_on === 'ON'
  const isGroup =
    (variables.group_replication_group_name ?? '') !== '' &&
    variables.group_replication_single_primary_mode === 'OFF'
  if (!isGalera && !isGroup) return undefined
  return {
    severity: 'warning',
    code: 'mysql-several-primaries',
    found:
      `The server is a node of ${isGalera ? 'a Galera cluster' : 'a group with several primaries'}: ` +
      "what different nodes do to one record meets at the commit, and each node's own clock ends leases.",
    remedy: 'Let all workers write to one node, and keep the clocks of the nodes together by NTP.',
  }
}

function poolSize(pool: MysqlPool, transactionsMax: number): Finding | undefined {
  const limit = connectionLimitOf(pool)
  const needed = transactionsMax + CONNECTIONS_BESIDE
  if (limit === undefined || limit >= needed) return undefined
  return {
    severity: 'warning',
    code: 'mysql-pool',
    found:
      `The pool has ${limit} connections and transactionsMax is ${transactionsMax}: ` +
      'handlers may hold them all, and leases end unrenewed meanwhile.',
    remedy: `Raise the pool's connectionLimit to ${needed}, or lower transactionsMax.`,
  }
}

function missing(table: string): StoreError {
  return new StoreError(
    'ONCEMQ_STORE_CORRUPT',
    `MysqlStore: expected the table ${table}, received none, or one that this user may not see; create it ` +
      'by the SQL that schema() answers, and grant what the README lists',
  )
}
