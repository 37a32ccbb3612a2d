/** Where MySQL and MariaDB differ, as far as the store is concerned. All of it stands in this file. */
export interface Dialect {
  readonly name: string
  /** A derived table of these rows, each a list of values, with its name and the names of its columns. */
  readonly rowsAs: (rows: readonly string[], name: string, columns: string) => string
  /** Whether sql_safe_updates refuses a join that finds its rows by the primary key. */
  readonly refusesSafeUpdates: boolean
  /** The setting of a session by which the server closes it, in seconds, once a transaction lies idle. */
  readonly idleSetting: string
  /** One statement that runs these in turn until one fails; `undefined` where there is none. */
  readonly compound: ((statements: readonly string[]) => string) | undefined
}

const mysql: Dialect = Object.freeze({
  name: 'MySQL',
  refusesSafeUpdates: false,
  // Of any idle session, so that it holds no longer than the transaction.
  idleSetting: 'wait_timeout',
  compound: undefined,
  rowsAs: (rows: readonly string[], name: string, columns: string) =>
    `(VALUES ${rows.map((row) => `ROW(${row})`).join(',')}) AS ${name} (${columns})`,
})

const mariadb: Dialect = Object.freeze({
  name: 'MariaDB',
  refusesSafeUpdates: true,
  idleSetting: 'idle_transaction_timeout',
  compound: (statements: readonly string[]) => `BEGIN NOT ATOMIC ${statements.join('; ')}; END`,
  rowsAs: (rows: readonly string[], name: string, columns: string) =>
    `(WITH ${name} (${columns}) AS (VALUES ${rows.map((row) => `(${row})`).join(',')}) ` +
    `SELECT * FROM ${name}) AS ${name}`,
})

/** The dialect of a server, by what it says its version is. */
export function dialectOf(version: string): Dialect {
  return /mariadb/i.test(version) ? mariadb : mysql
}

/** The oldest versions that have all that the statements use. */
const VERSIONS_MIN: Readonly<Record<string, readonly [major: number, minor: number, patch: number]>> = {
  MySQL: [8, 0, 19],
  MariaDB: [10, 6, 0],
}

/** The oldest version that will do, if the server's is older. */
export function tooOld(version: string): string | undefined {
  const { name } = dialectOf(version)
  const needed = VERSIONS_MIN[name] ?? [0, 0, 0]
  // Some MariaDB servers and proxies still put the version of replication before their own.
  const found = version
    .replace(/^5\.5\.5-(?=1)/, '')
    .split(/[^0-9]/, 3)
    .map(Number)
  const at = needed.findIndex((part, index) => (found[index] ?? 0) !== part)
  return at >= 0 && (found[at] ?? 0) < (needed[at] ?? 0) ? `${name} ${needed.join('.')}` : undefined
}
