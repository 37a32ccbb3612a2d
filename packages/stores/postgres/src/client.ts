/** A query as `pg` takes it. */
export interface PostgresQuery {
  name?: string
  text: string
  values?: unknown[]
}

/** What `pg` answers to a query, as far as the store reads it. */
export interface PostgresResult {
  readonly command: string
  readonly rowCount: number | null
  readonly rows: readonly unknown[]
}

/** What the store needs of a `pg.PoolClient`, of any version that has it. */
export interface PostgresClient {
  /** The number of the process that serves the connection; a pooler makes one up. */
  readonly processID?: number | null | undefined
  query(query: PostgresQuery): Promise<PostgresResult>
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
  removeAllListeners(event: 'error'): unknown
  release(error?: Error | boolean): void
}

/** @ts-ignore where pg or its types are not installed, this is any type at all, as which it is told below. */
type Installed = import('pg').PoolClient // oxlint-disable-line consistent-type-imports

/** The client of the package `pg` where its types are installed, else what the store needs of one. */
export type PgClient = 0 extends 1 & Installed ? PostgresClient : Installed

/**
 * What the store needs of a `pg.Pool`. A single `pg.Client` does not do: it never connects again, and
 * whatever runs beside an open transaction would become a part of it.
 */
export interface PostgresPool<Client extends PostgresClient = PostgresClient> {
  // The second form is there so that the first one is found among the overloads of `pg`.
  readonly connect: { (): Promise<Client>; (callback: never): unknown }
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
  readonly options?: { readonly max?: number | undefined }
}
