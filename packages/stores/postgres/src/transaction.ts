import type { CompleteUpdate, UpdateAnswer } from '@oncemq/core/store'
import { StoreError } from '@oncemq/core/store'
import type { PostgresClient, PostgresResult } from './client.ts'
import type { Connections } from './connection.ts'
import { nameOf } from './connection.ts'
import { commitError, handlerError, isConflict, sqlState, storeError } from './errors.ts'
import type { Settings } from './options.ts'
import { statementsOf, tablesOf } from './statements.ts'

/**
 * The handlers' transactions, each on a connection of its own, a bounded number at a time: the connections
 * that are left are for claims and renewals, which handlers that wait for a connection must not hold up.
 *
 *   BEGIN ──▶ work ──▶ completion, if this very transaction is still open ──▶ COMMIT
 *               └─ throws ─┴─ lost, or another transaction ──▶ ROLLBACK
 */
export class Transactions<Client extends PostgresClient> {
  readonly #connections: Connections<Client>
  readonly #where: string
  readonly #begin: string
  readonly #finish: string
  readonly #running = new Set<Promise<unknown>>()
  readonly #waiting: (() => void)[] = []
  #free: number

  constructor(connections: Connections<Client>, settings: Settings<Client>) {
    this.#connections = connections
    this.#where = nameOf(settings)
    this.#free = settings.transactionsMax
    // The transaction's own number, by which it is known again, is assigned at once.
    this.#begin = `BEGIN ISOLATION LEVEL ${settings.isolation}; SELECT pg_current_xact_id()::text AS answer`
    this.#finish = statementsOf(tablesOf(settings.table)).finish
  }

  /**
   * Opens a transaction, runs the handler in it, and commits what it wrote and its completion, or neither.
   */
  async handle(work: (tx: Client) => Promise<CompleteUpdate>): Promise<UpdateAnswer> {
    await this.#turn()
    const running = this.#handle(work).finally(() => {
      this.#running.delete(running)
      this.#next()
    })
    this.#running.add(running)
    return running
  }

  /** Resolves when nothing is under way any more. */
  async drained(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running)
  }

  async #handle(work: (tx: Client) => Promise<CompleteUpdate>): Promise<UpdateAnswer> {
    const client = await this.#connections.acquire().catch((error: unknown) => {
      throw storeError(error, this.#where)
    })
    const transaction = new Transaction(client, this.#connections, this.#where)
    try {
      await transaction.begin(this.#begin)
      const completion = await work(client).catch((error: unknown) => {
        throw handlerError(error)
      })
      const { answer, commit } = await transaction.complete(this.#finish, completion)
      if (commit) await transaction.commit()
      return answer
    } finally {
      await transaction.end()
    }
  }

  async #turn(): Promise<void> {
    if (this.#free === 0) return new Promise((resolve) => void this.#waiting.push(resolve))
    this.#free -= 1
  }

  #next(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free += 1
    else next()
  }
}

/** The row of the finish statement. */
interface FinishRow {
  readonly isChanged: boolean
  readonly wasDone: boolean
  readonly transaction: string | null
}

/** One transaction on one connection. */
class Transaction<Client extends PostgresClient> {
  readonly #client: Client
  readonly #connections: Connections<Client>
  readonly #where: string
  #id: string | undefined
  #isOpen = false
  #hasFailed = false

  constructor(client: Client, connections: Connections<Client>, where: string) {
    this.#client = client
    this.#connections = connections
    this.#where = where
  }

  async begin(statements: string): Promise<void> {
    this.#isOpen = true
    // Of several statements `pg` answers several results.
    const results = (await this.#query(statements)) as unknown as PostgresResult[]
    this.#id = answerOf(results[1])
  }

  async complete(
    statement: string,
    completion: CompleteUpdate,
  ): Promise<{ answer: UpdateAnswer; commit: boolean }> {
    const { id, claimId, retentionMs, result } = completion
    const values = [id, claimId, retentionMs, result, this.#id]
    const found = JSON.parse(answerOf(await this.#query(statement, values))) as FinishRow
    if (found.transaction !== this.#id) throw ended()
    if (found.isChanged) return { answer: 'ok', commit: true }
    // The repetition of a transaction whose commit was not known: the first run's writes are there, so that
    // this run's must not be.
    return { answer: found.wasDone ? 'ok' : 'lost', commit: false }
  }

  async commit(): Promise<void> {
    try {
      const { command } = await this.#run('COMMIT')
      // PostgreSQL answers a COMMIT of what it has given up as a success, but names what it did.
      if (command !== 'COMMIT') throw ended()
      this.#isOpen = false
    } catch (error) {
      throw commitError(error, this.#where)
    }
  }

  /** Rolls back what is open, and gives the connection back. Never rejects. */
  async end(): Promise<void> {
    if (this.#isOpen && !this.#hasFailed) await this.#run('ROLLBACK').catch(() => undefined)
    this.#connections.release(this.#client, this.#hasFailed)
  }

  async #query(text: string, values?: unknown[]): Promise<PostgresResult> {
    try {
      return await this.#run(text, values)
    } catch (error) {
      throw isConflict(error) ? handlerError(error) : storeError(error, this.#where)
    }
  }

  /** After anything but the server's own refusal the connection is of no more use. */
  async #run(text: string, values?: unknown[]): Promise<PostgresResult> {
    try {
      return await this.#connections.query(this.#client, text, values)
    } catch (error) {
      this.#hasFailed ||= sqlState(error) === undefined
      throw error
    }
  }
}

function answerOf(result: PostgresResult | undefined): string {
  const [row] = (result?.rows ?? []) as readonly { readonly answer: string }[]
  if (row !== undefined) return row.answer
  throw new StoreError(
    'ONCEMQ_STORE_BROKEN',
    'PostgresStore: expected a row, received none; look at what stands between the client and the server',
  )
}

function ended(): StoreError {
  return new StoreError(
    'ONCEMQ_STORE_REFUSED',
    'PostgresStore: expected the transaction to be open when the handler returns, received it ended; ' +
      'leave BEGIN, COMMIT and ROLLBACK to the store, and use SAVEPOINT inside. What the handler committed ' +
      'by itself stays, and the message is not recorded as done',
  )
}
