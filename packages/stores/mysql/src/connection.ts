import type { Clock } from '@oncemq/core/store'
import { StoreError, endWithin, importPeer, within } from '@oncemq/core/store'
import type { MysqlConnection, MysqlHeader, MysqlPool, MysqlRow } from './client.ts'
import { MYSQL, isConflict, isLockTaken, unansweredError } from './errors.ts'
import type { Settings } from './options.ts'
import { isolationSql } from './statements.ts'
import { Interrupts } from './interrupts.ts'

/** How often a statement is run that the server asks to run again. */
const CONFLICTS_MAX = 10
/** Beside those of handlers: for claims and updates, which overlap, for renewals and for the sweeper. */
const OWN_CONNECTIONS = 4
/** The server's flag for a session with a transaction open. */
const IN_TRANSACTION = 1
/** The least that the server may be set to take is 1024 bytes; it tells once it is asked. */
const PACKET_UNTOLD_BYTES = 1024 * 1024
const READ_COMMITTED = isolationSql('READ COMMITTED')
/** A statement is stopped a little before nobody waits for it any more. */
const SERVER_SHARE = 0.8

/** After this time the statement that a handler was left waiting for is stopped on the server. */
const ABANDONED_WAIT_MS = 50
/** No word to the server ends what the handler has left unread. Its own time was waited for already. */
const ABANDONED_MAX_MS = 500

/** Names the table in errors. */
export function nameOf({ table }: Pick<Settings, 'table'>): string {
  return `the table ${table}`
}

/** How a statement that writes is run. */
export interface WriteOptions {
  /** At READ COMMITTED, where it locks rows and not the gaps between them, whatever the session's default. */
  readonly ofManyRows?: boolean
  /** How long it may take, in milliseconds: until then it waits for a row that others have locked. */
  readonly waitMaxMs?: number
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
  readonly #interrupts: Interrupts

  constructor(pool: MysqlPool<Connection>, { timeoutMs, clock }: { timeoutMs: number; clock: Clock }) {
    this.#pool = pool
    this.#timeoutMs = timeoutMs
    this.#clock = clock
    this.#interrupts = new Interrupts((sql) => this.#with((connection) => this.#query(connection, sql)))
  }

  /** Runs a statement that writes. */
  async write(sql: string, options: WriteOptions = {}): Promise<MysqlHeader> {
    const { header } = await this.writeAndRead(sql, { ...options, next: () => undefined })
    return header
  }

  /**
   * Runs a statement that writes, then what `next` makes of its answer on the same connection, which is known
   * by then to be between transactions: on another one, a transaction left open could show what was long ago.
   * Runs both again on a conflict.
   */
  async writeAndRead(
    sql: string,
    {
      ofManyRows = false,
      waitMaxMs,
      next,
    }: WriteOptions & { readonly next: (header: MysqlHeader) => string | undefined },
  ): Promise<{ header: MysqlHeader; rows: readonly MysqlRow[] }> {
    const deadlineMs = this.#clock.monotonicMs() + this.#timeoutMs
    for (let count = 1; ; count += 1) {
      try {
        return await this.#with(async (connection) => {
          if (ofManyRows) await this.query(connection, READ_COMMITTED)
          const header = (await this.query(connection, sql, waitMaxMs)) as MysqlHeader
          requireCommitted(header)
          const question = next(header)
          const rows = question === undefined ? [] : await this.query(connection, question)
          return { header, rows: rows as readonly MysqlRow[] }
        })
      } catch (error) {
        const isLast = count === CONFLICTS_MAX || this.#clock.monotonicMs() >= deadlineMs
        if (!isConflict(error) || isLockTaken(error) || isLast) throw error
      }
    }
  }

  /** Runs a statement that reads. */
  async read(sql: string, { ofManyRows = false } = {}): Promise<readonly MysqlRow[]> {
    return this.#with(async (connection) => {
      if (ofManyRows) await this.query(connection, READ_COMMITTED)
      return (await this.query(connection, sql)) as readonly MysqlRow[]
    })
  }

  /** Finds out whether the server knows connections by the numbers that they have here. */
  async learnThreads(): Promise<void> {
    await this.#with(async (connection) => {
      const rows = (await this.query(connection, 'SELECT CONNECTION_ID()')) as readonly MysqlRow[]
      this.#interrupts.isOn = String(rows[0]?.[0]) === String(connection.threadId)
    })
  }

  /** Gives a connection within the time limit. */
  acquire(): Promise<Connection> {
    return within(() => this.#pool.getConnection(), {
      clock: this.#clock,
      timeoutMs: this.#timeoutMs,
      timeoutError: () => noConnection(this.#timeoutMs),
      late: (late) => late.release(),
    })
  }

  /** Gives it back to the pool, or closes it if it failed. */
  release(connection: Connection, hasFailed = false): void {
    if (hasFailed) close(connection)
    else connection.release()
  }

  /**
   * Closes a connection on which a statement may still run. The server does not look whether its client is
   * there while the statement waits for a lock, so it is told, in the background.
   */
  abandon(connection: Connection): void {
    close(connection)
    this.#interrupts.end(connection)
  }

  /** Waits within the time limit for what a handler has left unanswered. */
  async withinLimit(asked: Promise<unknown>): Promise<void> {
    await within(() => asked, {
      clock: this.#clock,
      timeoutMs: this.#timeoutMs,
      timeoutError: () => unansweredError(this.#timeoutMs),
    })
  }

  /**
   * Runs a statement on a connection that was acquired, within the time limit. It is stopped on the server
   * after `waitMaxMs`, or a little before the limit.
   */
  async query(connection: Connection, sql: string, waitMaxMs = Infinity): Promise<unknown> {
    const stopAfterMs = Math.min(waitMaxMs, Math.ceil(this.#timeoutMs * SERVER_SHARE))
    let stopping: Promise<void> | undefined
    const timer = this.#clock.after(stopAfterMs, () => {
      stopping = this.#interrupts.stop(connection)
    })
    try {
      return await this.#query(connection, sql)
    } finally {
      timer.cancel()
      // Else it could stop what the connection is used for next.
      await stopping
    }
  }

  /** Asks what is to be closed for a last word, and has what it still does stopped on the server. */
  queryAbandoned(connection: Connection, sql: string): Promise<unknown> {
    return within(() => this.query(connection, sql, ABANDONED_WAIT_MS), {
      clock: this.#clock,
      timeoutMs: ABANDONED_MAX_MS,
      timeoutError: () => noAnswer(ABANDONED_MAX_MS),
    })
  }

  /** COMMIT is not stopped: what became of it could not be told. */
  async commit(connection: Connection, sql = 'COMMIT'): Promise<void> {
    await this.#query(connection, sql)
  }

  /** Resolves when nothing is under way in the background any more. */
  async close(): Promise<void> {
    await this.#interrupts.close()
  }

  async #query(connection: Connection, sql: string): Promise<unknown> {
    requireFit(sql, this.packetMaxBytes)
    // No values: else the driver would look for placeholders in all of the statement.
    const how = { values: null, rowsAsArray: true, typeCast: false, nestTables: false } as const
    try {
      const [answer] = await within(() => connection.query({ sql, ...how }), {
        clock: this.#clock,
        timeoutMs: this.#timeoutMs,
        timeoutError: () => noAnswer(this.#timeoutMs),
      })
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
      if (isUnanswered(error)) this.abandon(connection)
      else this.release(connection, !isConflict(error) && !isLockTaken(error))
      throw error
    }
  }
}

/** The injected pool, or one of the store's own, and the function that ends what the store has begun. */
export async function connect<Connection extends MysqlConnection>(settings: Settings<Connection>) {
  const { source } = settings
  if ('pool' in source) {
    const { pool } = source
    const connections = new Connections(pool, settings)
    return { pool, connections, end: () => connections.close() }
  }
  const pool = await openPool<Connection>(source.url, settings)
  const connections = new Connections(pool, settings)
  const end = async (): Promise<void> => {
    await connections.close()
    await endWithin(() => pool.end(), settings)
  }
  return { pool, connections, end }
}

interface OwnPool<Connection extends MysqlConnection> extends MysqlPool<Connection> {
  end(): Promise<void>
}

async function openPool<Connection extends MysqlConnection>(
  url: string,
  { transactionsMax, timeoutMs }: Settings<Connection>,
): Promise<OwnPool<Connection>> {
  const peer = { store: 'MysqlStore', name: 'mysql2', instead: '{ pool }' }
  const { createPool } = await importPeer(peer, () => import('mysql2/promise'))
  const connectionLimit = transactionsMax + OWN_CONNECTIONS
  // Traces, which `mysql2` takes for each query in case it fails, cost a tenth of its time.
  const pool: unknown = createPool({ uri: url, connectionLimit, connectTimeout: timeoutMs, trace: false })
  return pool as OwnPool<Connection>
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

const unanswered = new WeakSet<object>()

/** Whether the statement may still run on the server. */
export function isUnanswered(error: unknown): boolean {
  return typeof error === 'object' && error !== null && unanswered.has(error)
}

function noAnswer(timeoutMs: number): StoreError {
  const error = new StoreError(
    'ONCEMQ_STORE_TIMEOUT',
    `MysqlStore: expected an answer within ${timeoutMs} ms, received none; look at the load of the server ` +
      'and at the network, or raise timeoutMs',
  )
  unanswered.add(error)
  return error
}
