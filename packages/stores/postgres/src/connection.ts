import type { Clock } from '@oncemq/core/store'
import { StoreError } from '@oncemq/core/store'
import type { PostgresClient, PostgresPool, PostgresQuery, PostgresResult } from './client.ts'
import { isConflict, isUnprepared } from './errors.ts'
import type { Settings } from './options.ts'
import type { Statement } from './statements.ts'

/** How often a statement is run that the server asks to run again. */
const CONFLICTS_MAX = 10
/** Beside those of handlers: for claims and updates, which overlap, for renewals and for the sweeper. */
const OWN_CONNECTIONS = 4

/**
 * A client that loses its connection says so by an event that would end the process if nobody listened.
 * Whoever runs a query on it learns of it by that query.
 */
function heard(): void {}

/** Names the table in errors. */
export function nameOf({ table }: Settings): string {
  return `the table ${table}`
}

/**
 * Connections of the pool, one for each statement or transaction, and nothing that has to outlast either: so
 * the pool may be PgBouncer's in transaction mode. Every wait has a bound. A connection on which anything
 * failed is not used again: the answer may still come, or the server may have become a standby, and a new one
 * asks for its address anew.
 */
export class Connections<Client extends PostgresClient = PostgresClient> {
  readonly #pool: PostgresPool<Client>
  readonly #timeoutMs: number
  readonly #clock: Clock
  /** Whether statements stay prepared: until the first one that did not. */
  #prepares = true

  constructor(pool: PostgresPool<Client>, { timeoutMs, clock }: { timeoutMs: number; clock: Clock }) {
    this.#pool = pool
    this.#timeoutMs = timeoutMs
    this.#clock = clock
    // Whatever happens to an idle connection, the pool replaces it.
    pool.on('error', heard)
  }

  /** Runs a statement. Answers its rows' column `answer`. */
  async run(statement: Statement, values: unknown[] = []): Promise<readonly string[]> {
    const { rows } = await this.#again(statement, values)
    return (rows as readonly { readonly answer: string }[]).map(({ answer }) => answer)
  }

  /** Runs a statement that answers no rows. Answers how many it changed. */
  async change(statement: Statement, values: unknown[]): Promise<number> {
    return (await this.#again(statement, values)).rowCount ?? 0
  }

  /** Runs several statements as one transaction. */
  async script(text: string): Promise<void> {
    await this.#once(text, [])
  }

  /** Gives a connection within the time limit. */
  acquire(): Promise<Client> {
    return new Promise((resolve, reject) => {
      let isLate = false
      const timer = this.#clock.after(this.#timeoutMs, () => {
        isLate = true
        reject(noConnection(this.#timeoutMs))
      })
      this.#pool.connect().then(
        (client) => {
          timer.cancel()
          if (isLate) return client.release()
          client.on('error', heard)
          resolve(client)
        },
        (error: unknown) => {
          timer.cancel()
          reject(error as Error)
        },
      )
    })
  }

  /** Gives it back to the pool, or closes it if it failed. */
  release(client: Client, hasFailed = false): void {
    client.removeListener('error', heard)
    client.release(hasFailed)
  }

  /** Runs a query on a connection that was acquired, within the time limit. */
  query(client: Client, text: string, values?: unknown[], name?: string): Promise<PostgresResult> {
    const query: PostgresQuery = { text, query_timeout: this.#timeoutMs }
    if (values !== undefined && values.length > 0) query.values = values
    if (name !== undefined) query.name = name
    return client.query(query)
  }

  /** Stops listening to the pool. */
  close(): void {
    this.#pool.removeListener('error', heard)
  }

  /** Runs a statement, and runs it again on a conflict, or if it is not prepared where it should be. */
  async #again(statement: Statement, values: unknown[]): Promise<PostgresResult> {
    const { text, name } = typeof statement === 'string' ? { text: statement, name: undefined } : statement
    for (let count = 1; ; count += 1) {
      try {
        return await this.#once(text, values, this.#prepares ? name : undefined)
      } catch (error) {
        if (isUnprepared(error)) this.#prepares = false
        else if (!isConflict(error) || count === CONFLICTS_MAX) throw error
      }
    }
  }

  async #once(text: string, values: unknown[], name?: string): Promise<PostgresResult> {
    const client = await this.acquire()
    try {
      const result = await this.query(client, text, values, name)
      this.release(client)
      return result
    } catch (error) {
      this.release(client, !isConflict(error))
      throw error
    }
  }
}

/** The injected pool, or one of the store's own, and the function that ends what the store has begun. */
export async function connect<Client extends PostgresClient>(settings: Settings<Client>) {
  const { source } = settings
  if ('pool' in source) {
    const connections = new Connections(source.pool, settings)
    return { pool: source.pool, connections, end: async () => connections.close() }
  }
  const pool = await openPool<Client>(source.url, settings)
  return { pool, connections: new Connections(pool, settings), end: () => endPool(pool, settings) }
}

interface OwnPool<Client extends PostgresClient> extends PostgresPool<Client> {
  end(): Promise<void>
}

async function openPool<Client extends PostgresClient>(
  url: string,
  { transactionsMax, timeoutMs }: Settings<Client>,
): Promise<OwnPool<Client>> {
  const { Pool } = await import('pg').catch((cause: unknown) => {
    throw new StoreError(
      'ONCEMQ_STORE_REFUSED',
      'PostgresStore: expected the package pg for { url }, received none; npm install pg, or give { pool }',
      { cause },
    )
  })
  const pool: unknown = new Pool({
    connectionString: url,
    max: transactionsMax + OWN_CONNECTIONS,
    connectionTimeoutMillis: timeoutMs,
    keepAlive: true,
  })
  return pool as OwnPool<Client>
}

/** A server that does not answer does not say goodbye either. */
function endPool<Client extends PostgresClient>(
  pool: OwnPool<Client>,
  { timeoutMs, clock }: Settings<Client>,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(timeoutMs, resolve)
    pool
      .end()
      .then(resolve, reject)
      .finally(() => timer.cancel())
  })
}

function noConnection(timeoutMs: number): StoreError {
  return new StoreError(
    'ONCEMQ_STORE_UNAVAILABLE',
    `PostgresStore: expected a connection within ${timeoutMs} ms, received none; look for connections of ` +
      'the pool that are not given back, or raise its max to transactionsMax + 2 or more',
  )
}
