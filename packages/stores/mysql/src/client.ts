/**
 * A query as `mysql2` takes it, without parameters. What it says about the rows goes before the settings of
 * the pool: every cell comes as bytes or NULL.
 */
export interface MysqlQuery {
  sql: string
  values: null
  rowsAsArray: true
  typeCast: false
  nestTables: false
}

/** What the store needs of a connection of the pool of `mysql2/promise`, of any version that has it. */
export interface MysqlConnection {
  /** The number by which the server knows the connection. */
  readonly threadId?: number | null | undefined
  query(query: MysqlQuery): Promise<[unknown, unknown]>
  release(): void
  destroy(): void
}

/** @ts-ignore where mysql2 is not installed, this is any type at all, as which it is told below. */
type Installed = import('mysql2/promise').PoolConnection // oxlint-disable-line consistent-type-imports

/** The connection of the package `mysql2` where it is installed, else what the store needs of one. */
export type Mysql2Connection = 0 extends 1 & Installed ? MysqlConnection : Installed

/**
 * What the store needs of a pool of `mysql2/promise`. A single connection does not do: it never connects
 * again, and whatever runs beside an open transaction would become a part of it.
 */
export interface MysqlPool<Connection extends MysqlConnection = MysqlConnection> {
  getConnection(): Promise<Connection>
}

/** A pool of `mysql2` itself, whose methods take callbacks. */
export interface MysqlCallbackPool<Connection extends MysqlConnection = MysqlConnection> {
  promise(): MysqlPool<Connection>
}

/** What the server answers to a statement that writes. */
export interface MysqlHeader {
  readonly affectedRows: number | string
  readonly insertId: number | string
  /** The server's flags for this session; some proxies leave them out. */
  readonly serverStatus?: number
}

/** A row of an answer, its cells as the server wrote them. */
export type MysqlRow = readonly (Buffer | null)[]
