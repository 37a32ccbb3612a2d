import type { Clock } from '@oncemq/core/store'
import { StoreError } from '@oncemq/core/store'
import type { MysqlConnection, MysqlHeader, MysqlPool, MysqlRow } from './client.ts'
import { MYSQL, isConflict } from './errors.ts'
import type { Settings } from './options.ts'
import { isolationSql } from './statements.ts'

/** How often a statement is run that the server asks to run again. */
const CONFLICTS_MAX = 10
/** Beside those of handlers: for claims and updates, which overlap, for renewals and for the sweeper. */
const OWN_CONNECTIONS = 4
/** The server's flag for a session with a transaction open. */
const IN_TRANSACTION = 1
/** The least that the server may be set to take is 1024 bytes; it tells once it is asked. */
const PACKET_UNTOLD_BYTES = 1024 * 1024
const READ_COMMITTED = isolationSql('READ COMMITTED')

/** Names the table in errors. */
export function nameOf({ table }: Settings): string {
  return `the table ${table}`
}

/**
 * Connections of the pool, one for each statement or transaction, whose sessions stay as their owner has set
 * them. Every wait has a bound. A connection on which anything failed is not used again: the answer may still
 * come, or the server may have become a replica, and a new one asks for its address anew.
 */
export class Connections<Connection extends MysqlConnection = MysqlConnection> {
  /** The longest statement that the server takes. */
  packetMaxBytes = PACKET_UNTOLD_BYTES
  readonly #pool: MysqlPool<Connection>
  readonly #timeoutMs: number
  readonly #clock: Clock

  constructor(pool: MysqlPool<Connection>, { timeoutMs, clock }: { timeoutMs: number; clock: Clock }) {
    this.#pool = pool
    this.#timeoutMs = timeoutMs
    this.#clock = clock
  }

  /** Runs a statement that writes. */
  async write(sql: string, { ofManyRows = false } = {}): Promise<MysqlHeader> {
    const { header } = await this.writeAndRead(sql, { ofManyRows, next: () => undefined })
    return header
  }

  /**
   * Runs a statement that writes, then what `next` makes of its answer on the same connection, which is known
   * by then to be between transactions: on another one, a transaction left open could show what was long ago.
   * Runs both again on a conflict. What is of many rows runs at READ COMMITTED, where it locks rows and not
   * the gaps between them, whatever the session's default.
   */
  async writeAndRead(
    sql: string,
    { ofManyRows, next }: { ofManyRows: boolean; next: (header: MysqlHeader) => string | undefined },
  ): Promise<{ header: MysqlHeader; rows: readonly MysqlRow[] }> {
    const deadlineMs = this.#clock.monotonicMs() + this.#timeoutMs
    for (let count = 1; ; count += 1) {
      try {
        return await this.#with(async (connection) => {
          if (ofManyRows) await this.query(connection, READ_COMMITTED)
          const header = (await this.query(connection, sql)) as MysqlHeader
          requireCommitted(header)
          const question = next(header)
          const rows = question === undefined ? [] : await this.query(connection, question)
          return { header, rows: rows as readonly MysqlRow[] }
        })
      } catch (error) {
        const isLast = count === CONFLICTS_MAX || this.#clock.monotonicMs() >= deadlineMs
        if (!isConflict(error) || isLast) throw error
      }
    }
  }

  /** Runs a statement that reads. */
  async read(sql: string): Promise<readonly MysqlRow[]> {
    return this.#with(async (connection) => (await this.query(connection, sql)) as readonly MysqlRow[])
  }

  /** Gives a connection within the time limit. */
  acquire(): Promise<Connection> {
    return new Promise((resolve, reject) => {
      let isLate = false
      const timer = this.#clock.after(this.#timeoutMs, () => {
        isLate = true
        reject(noConnection(this.#timeoutMs))
      })
      this.#pool.getConnection().then(
        (connection) => {
          timer.cancel()
          if (isLate) return connection.release()
          resolve(connection)
        },
        (error: unknown) => {
          timer.cancel()
          reject(error as Error)
        },
      )
    })
  }

  /** Gives it back to the pool, or closes it if it failed. */
  release(connection: Connection, hasFailed = false): void {
    if (hasFailed) close(connection)
    else connection.release()
  }

  /** Runs a statement on a connection that was acquired, within the time limit. */
  async query(connection: Connection, sql: string): Promise<unknown> {
    requireFit(sql, this.packetMaxBytes)
    // No values: else the driver would look for placeholders in all of the statement.
    const how = { values: null, rowsAsArray: true, typeCast: false, nestTables: false } as const
    try {
      const [answer] = await connection.query({ sql, timeout: this.#timeoutMs, ...how })
      return answer
    } catch (error) {
      // The driver hangs the statement onto its error, and the statement holds keys.
      if (error instanceof Error) delete (error as { sql?: string }).sql
      throw error
    }
  }

  async #with<Answer>(step: (connection: Connection) => Promise<Answer>): Promise<Answer> {
    const connection = await this.acquire()
    try {
      const answer = await step(connection)
      this.release(connection)
      return answer
    } catch (error) {
      this.release(connection, !isConflict(error))
      throw error
    }
  }
}

/** The injected pool, or one of the store's own, and the function that ends what the store has begun. */
export async function connect<Connection extends MysqlConnection>(settings: Settings<Connection>) {
  const { source } = settings
  if ('pool' in source) {
    const { pool } = source
    return { pool, connections: new Connections(pool, settings), end: async () => {} }
  }
  const pool = await openPool<Connection>(source.url, settings)
  return { pool, connections: new Connections(pool, settings), end: () => endPool(pool, settings) }
}

interface OwnPool<Connection extends MysqlConnection> extends MysqlPool<Connection> {
  end(): Promise<void>
}

async function openPool<Connection extends MysqlConnection>(
  url: string,
  { transactionsMax, timeoutMs }: Settings<Connection>,
): Promise<OwnPool<Connection>> {
  const { createPool } = await import('mysql2/promise').catch((cause: unknown) => {
    throw new StoreError(
      'ONCEMQ_STORE_REFUSED',
      'MysqlStore: expected the package mysql2 for { url }, received none; npm install mysql2, ' +
        'or give { pool }',
      { cause },
    )
  })
  const connectionLimit = transactionsMax + OWN_CONNECTIONS
  // Traces, which `mysql2` takes for each query in case it fails, cost a tenth of its time.
  const pool: unknown = createPool({ uri: url, connectionLimit, connectTimeout: timeoutMs, trace: false })
  return pool as OwnPool<Connection>
}

/** A server that does not answer does not say goodbye either. */
function endPool<Connection extends MysqlConnection>(
  pool: OwnPool<Connection>,
  { timeoutMs, clock }: Settings<Connection>,
): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.after(timeoutMs, resolve)
    pool
      .end()
      // What cannot be closed in good order is closed already.
      .catch(() => undefined)
      .finally(() => {
        timer.cancel()
        resolve()
      })
  })
}

/** `destroy` says goodbye and waits for the other side to close; one that hangs does not. */
function close(connection: MysqlConnection): void {
  connection.destroy()
  const { stream } = ((connection as { connection?: unknown }).connection ?? {}) as {
    stream?: { destroy?(): unknown }
  }
  stream?.destroy?.()
}

/** A statement that became part of an open transaction is not committed: it must not be taken for done. */
function requireCommitted({ serverStatus = 0 }: MysqlHeader): void {
  if ((serverStatus & IN_TRANSACTION) === 0) return
  throw Object.assign(new Error('a transaction is open'), { errno: MYSQL.TRANSACTION_OPEN })
}

/** The server would close the connection on a statement that is too long, and seldom say why. */
function requireFit(sql: string, maxBytes: number): void {
  if (sql.length < maxBytes) return
  throw Object.assign(new Error('the statement is too long'), { errno: MYSQL.PACKET_TOO_LARGE })
}

function noConnection(timeoutMs: number): StoreError {
  return new StoreError(
    'ONCEMQ_STORE_UNAVAILABLE',
    `MysqlStore: expected a connection within ${timeoutMs} ms, received none; look for connections of the ` +
      'pool that are not given back, or raise its connectionLimit to transactionsMax + 2 or more',
  )
}
