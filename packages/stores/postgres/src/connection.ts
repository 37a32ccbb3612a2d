import type { Clock } from '@oncemq/core/store'
import { StoreError, endWithin, importPeer, within } from '@oncemq/core/store'
import type { PostgresClient, PostgresPool, PostgresQuery, PostgresResult } from './client.ts'
import { isConflict, isLockTaken, isUnprepared, unansweredError } from './errors.ts'
import type { Settings } from './options.ts'
import type { Statement } from './statements.ts'

/** How often a statement is run that the server asks to run again. */
const CONFLICTS_MAX = 10
/** Beside those of handlers: for claims and updates, which overlap, for renewals and for the sweeper. */
const OWN_CONNECTIONS = 4

/**
 * Not by pg_cancel_backend, which does nothing to a statement that is still on its way. Who waits for a
 * standby has committed, and must not be taken for confirmed by it before it is.
 */
const END_ABANDONED = `
  SELECT pg_terminate_backend(pid)::text AS answer FROM pg_stat_activity
  WHERE pid = ANY ($1::integer[]) AND wait_event IS DISTINCT FROM 'SyncRep'`

/**
 * A client that loses its connection says so by an event that would end the process if nobody listened.
 * Whoever runs a query on it learns of it by that query.
 */
function ignoreError(): void {}

/** Names the table in errors. */
export function nameOf({ table }: Pick<Settings, 'table'>): string {
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
  /** Server processes whose statements nobody waits for any more, and which are to be told so. */
  readonly #abandoned = new Set<number>()
  #telling: Promise<void> | undefined
  /** Whether statements stay prepared: until the first one that did not. */
  #prepares = true
  /** Whether the number that a connection has of its process is the server's, and not a pooler's. */
  #knowsProcesses = false

  constructor(pool: PostgresPool<Client>, { timeoutMs, clock }: { timeoutMs: number; clock: Clock }) {
    this.#pool = pool
    this.#timeoutMs = timeoutMs
    this.#clock = clock
    // Whatever happens to an idle connection, the pool replaces it.
    pool.on('error', ignoreError)
  }

  /** Runs a statement. Answers its rows' column `answer`. */
  async run(statement: Statement, values: unknown[] = []): Promise<readonly string[]> {
    return answersOf(await this.#again(statement, values))
  }

  /** Runs a statement that answers no rows. Answers how many it changed. */
  async change(statement: Statement, values: unknown[]): Promise<number> {
    return (await this.#again(statement, values)).rowCount ?? 0
  }

  /** Runs several statements as one transaction. */
  async script(text: string): Promise<void> {
    await this.#once(text, [])
  }

  /** Finds out whether a server process can be told by its connection's number that it is abandoned. */
  async learnProcesses(): Promise<void> {
    const { processID, answers } = await this.#with(async (client) => ({
      processID: client.processID,
      answers: answersOf(await this.query(client, 'SELECT pg_backend_pid()::text AS answer')),
    }))
    this.#knowsProcesses = String(processID) === answers[0]
  }

  /** Whether statements that are prepared on a connection stay there: no pooler is in between. */
  get mayPrepare(): boolean {
    return this.#prepares && this.#knowsProcesses
  }

  /** What was prepared on a connection was not there. */
  stopPreparing(): void {
    this.#prepares = false
  }

  /** Gives a connection within the time limit. */
  async acquire(): Promise<Client> {
    return within(() => this.#connect(), {
      clock: this.#clock,
      timeoutMs: this.#timeoutMs,
      timeoutError: () => noConnection(this.#timeoutMs),
      late: (late) => this.release(late),
    })
  }

  /**
   * Listens in the moment in which the pool does no more. A promise would answer too late: the server's last
   * words may have come together with its first ones.
   */
  #connect(): Promise<Client> {
    return new Promise((resolve, reject) => {
      const given = (client: Client): void => {
        client.on('error', ignoreError)
        resolve(client)
      }
      const told = (error: unknown, client?: Client): void =>
        client === undefined ? reject(error as Error) : given(client)
      const connect = this.#pool.connect as (told: unknown) => Promise<Client> | undefined
      // A pool that somebody has wrapped may know promises alone.
      connect.call(this.#pool, told)?.then(given, reject)
    })
  }

  /** Gives it back to the pool, or closes it if it failed. */
  release(client: Client, hasFailed = false): void {
    client.removeListener('error', ignoreError)
    client.release(hasFailed)
    if (!hasFailed) return
    // While it closes, the pool would make the server's last words an error of its own, for which nobody may
    // listen once the store is closed: that would end the process.
    client.removeAllListeners('error')
    client.on('error', ignoreError)
  }

  /**
   * Closes a connection on which a statement may still run. The server does not look whether its client is
   * there while the statement waits for a lock, so it is told, in the background.
   */
  abandon(client: Client): void {
    const { processID } = client
    this.release(client, true)
    if (!this.#knowsProcesses || typeof processID !== 'number') return
    this.#abandoned.add(processID)
    this.#telling ??= this.#tell().finally(() => (this.#telling = undefined))
  }

  /** Waits within the time limit for what a handler has left unanswered. */
  async withinLimit(asked: Promise<unknown>): Promise<void> {
    await within(() => asked, {
      clock: this.#clock,
      timeoutMs: this.#timeoutMs,
      timeoutError: () => unansweredError(this.#timeoutMs),
    })
  }

  /** Runs a query on a connection that was acquired, within the time limit. */
  query(client: Client, text: string, values?: unknown[], name?: string): Promise<PostgresResult> {
    const query: PostgresQuery = { text }
    if (values !== undefined && values.length > 0) query.values = values
    if (name !== undefined) query.name = name
    return within(() => client.query(query), {
      clock: this.#clock,
      timeoutMs: this.#timeoutMs,
      timeoutError: () => noAnswer(this.#timeoutMs),
    })
  }

  /** Stops listening to the pool, after what is under way in the background. */
  async close(): Promise<void> {
    await this.#telling
    this.#pool.removeListener('error', ignoreError)
  }

  /** Runs a statement, and runs it again on a conflict, or if it is not prepared where it should be. */
  async #again(statement: Statement, values: unknown[]): Promise<PostgresResult> {
    const { text, name } = typeof statement === 'string' ? { text: statement, name: undefined } : statement
    for (let count = 1; ; count += 1) {
      try {
        return await this.#once(text, values, this.#prepares ? name : undefined)
      } catch (error) {
        if (isUnprepared(error)) this.stopPreparing()
        else if (!isConflict(error) || count === CONFLICTS_MAX) throw error
      }
    }
  }

  #once(text: string, values: unknown[], name?: string): Promise<PostgresResult> {
    return this.#with((client) => this.query(client, text, values, name))
  }

  async #with<Answer>(step: (client: Client) => Promise<Answer>): Promise<Answer> {
    const client = await this.acquire()
    try {
      const answer = await step(client)
      this.release(client)
      return answer
    } catch (error) {
      if (isUnanswered(error)) this.abandon(client)
      else this.release(client, !isConflict(error) && !isLockTaken(error))
      throw error
    }
  }

  /** One statement for all that were abandoned meanwhile: a server in need gets no herd of them. */
  async #tell(): Promise<void> {
    while (this.#abandoned.size > 0) {
      // A server that cannot be reached is told by nobody, and its own bounds end what waits there.
      const values = [`{${[...this.#abandoned].join(',')}}`]
      this.#abandoned.clear()
      await this.#once(END_ABANDONED, values).catch(() => undefined)
    }
  }
}

/** The injected pool, or one of the store's own, and the function that ends what the store has begun. */
export async function connect<Client extends PostgresClient>(settings: Settings<Client>) {
  const { source } = settings
  if ('pool' in source) {
    const connections = new Connections(source.pool, settings)
    return { pool: source.pool, connections, end: () => connections.close() }
  }
  const pool = await openPool<Client>(source.url, settings)
  const connections = new Connections(pool, settings)
  const end = async (): Promise<void> => {
    await connections.close()
    await endWithin(() => pool.end(), settings)
  }
  return { pool, connections, end }
}

interface OwnPool<Client extends PostgresClient> extends PostgresPool<Client> {
  end(): Promise<void>
}

async function openPool<Client extends PostgresClient>(
  url: string,
  { transactionsMax, timeoutMs }: Settings<Client>,
): Promise<OwnPool<Client>> {
  const peer = { store: 'PostgresStore', name: 'pg', instead: '{ pool }' }
  const { Pool } = await importPeer(peer, () => import('pg'))
  const pool: unknown = new Pool({
    connectionString: url,
    max: transactionsMax + OWN_CONNECTIONS,
    connectionTimeoutMillis: timeoutMs,
    keepAlive: true,
  })
  return pool as OwnPool<Client>
}

function answersOf({ rows }: PostgresResult): readonly string[] {
  return (rows as readonly { readonly answer: string }[]).map(({ answer }) => answer)
}

function noConnection(timeoutMs: number): StoreError {
  return new StoreError(
    'ONCEMQ_STORE_UNAVAILABLE',
    `PostgresStore: expected a connection within ${timeoutMs} ms, received none; look for connections of ` +
      'the pool that are not given back, or raise its max to transactionsMax + 2 or more',
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
    `PostgresStore: expected an answer within ${timeoutMs} ms, received none; look at the load of the ` +
      'server and at the network, or raise timeoutMs',
  )
  unanswered.add(error)
  return error
}
