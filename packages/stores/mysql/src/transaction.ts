import type { CompleteUpdate, UpdateAnswer } from '@oncemq/core/store'
import { StoreError } from '@oncemq/core/store'
import type { MysqlConnection, MysqlHeader, MysqlRow } from './client.ts'
import type { Connections } from './connection.ts'
import { nameOf } from './connection.ts'
import { MYSQL, commitError, errorNumber, handlerError, isConflict, storeError } from './errors.ts'
import type { Settings } from './options.ts'
import { DONE, isolationSql } from './statements.ts'
import type { Statements } from './statements.ts'

// A savepoint before the handler's writes, by which its transaction is known again.
const GUARD = 'oncemq_handler'

/**
 * The handlers' transactions, each on a connection of its own, a bounded number at a time: the connections
 * that are left are for claims and renewals, which handlers that wait for a connection must not hold up.
 *
 *   START ──▶ work ──▶ completion, if this very transaction is still open ──▶ COMMIT
 *               └─ throws ─┴─ lost, or another transaction ──▶ ROLLBACK
 */
export class Transactions<Connection extends MysqlConnection> {
  readonly #connections: Connections<Connection>
  readonly #statements: Statements
  readonly #where: string
  readonly #begin: readonly string[]
  readonly #running = new Set<Promise<unknown>>()
  readonly #waiting: (() => void)[] = []
  #free: number

  constructor(connections: Connections<Connection>, statements: Statements, settings: Settings<Connection>) {
    this.#connections = connections
    this.#statements = statements
    this.#where = nameOf(settings as unknown as Settings)
    this.#free = settings.transactionsMax
    this.#begin = [isolationSql(settings.isolation), 'START TRANSACTION', `SAVEPOINT ${GUARD}`]
  }

  /**
   * Opens a transaction, runs the handler in it, and commits what it wrote and its completion, or neither.
   */
  async handle(work: (tx: Connection) => Promise<CompleteUpdate>): Promise<UpdateAnswer> {
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

  async #handle(work: (tx: Connection) => Promise<CompleteUpdate>): Promise<UpdateAnswer> {
    const connection = await this.#connections.acquire().catch((error: unknown) => {
      throw storeError(error, this.#where)
    })
    const transaction = new Transaction(connection, this.#connections, this.#where)
    try {
      await transaction.begin(this.#begin)
      const completion = await work(connection).catch((error: unknown) => {
        throw handlerError(error)
      })
      const { answer, commit } = await transaction.complete(this.#statements, completion)
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

/** One transaction on one connection. */
class Transaction<Connection extends MysqlConnection> {
  readonly #connection: Connection
  readonly #connections: Connections<Connection>
  readonly #where: string
  #isOpen = false
  #hasFailed = false

  constructor(connection: Connection, connections: Connections<Connection>, where: string) {
    this.#connection = connection
    this.#connections = connections
    this.#where = where
  }

  /** The first statement is refused if the connection came with a transaction, which is then rolled back. */
  async begin(statements: readonly string[]): Promise<void> {
    try {
      for (const statement of statements) await this.#query(statement)
      this.#isOpen = true
    } catch (error) {
      this.#hasFailed = true
      throw error
    }
  }

  async complete(
    statements: Statements,
    completion: CompleteUpdate,
  ): Promise<{ answer: UpdateAnswer; commit: boolean }> {
    await this.#requireSameTransaction()
    const { affectedRows } = (await this.#query(
      statements.change([completion], completion.claimId),
    )) as MysqlHeader
    if (Number(affectedRows) === 1) return { answer: 'ok', commit: true }
    // The repetition of a transaction whose commit was not known: the first run's writes are there, so that
    // this run's must not be.
    const [owner] = (await this.#query(statements.owner(completion))) as readonly MysqlRow[]
    const wasDone = Number(owner?.[0]) === DONE && owner?.[1]?.toString('hex') === completion.claimId
    return { answer: wasDone ? 'ok' : 'lost', commit: false }
  }

  async commit(): Promise<void> {
    try {
      await this.#run('COMMIT')
      this.#isOpen = false
    } catch (error) {
      throw commitError(error, this.#where)
    }
  }

  /** Rolls back what is open, and gives the connection back. Never rejects. */
  async end(): Promise<void> {
    if (this.#isOpen && !this.#hasFailed) await this.#run('ROLLBACK').catch(() => undefined)
    this.#connections.release(this.#connection, this.#hasFailed)
  }

  /**
   * The savepoint is gone if the transaction ended: by the handler's COMMIT or ROLLBACK, by one of the many
   * statements that commit by themselves (CREATE, ALTER, DROP, TRUNCATE, LOCK TABLES, START TRANSACTION), or
   * by a deadlock that the handler kept to itself.
   */
  async #requireSameTransaction(): Promise<void> {
    try {
      await this.#run(`RELEASE SAVEPOINT ${GUARD}`)
    } catch (error) {
      if (errorNumber(error) !== MYSQL.SAVEPOINT_MISSING) throw storeError(error, this.#where)
      throw ended(error)
    }
  }

  async #query(statement: string): Promise<unknown> {
    try {
      return await this.#run(statement)
    } catch (error) {
      throw isConflict(error) ? handlerError(error) : storeError(error, this.#where)
    }
  }

  /** After anything but the server's own refusal the connection is of no more use. */
  async #run(statement: string): Promise<unknown> {
    try {
      return await this.#connections.query(this.#connection, statement)
    } catch (error) {
      this.#hasFailed ||= errorNumber(error) === undefined
      throw error
    }
  }
}

function ended(cause: unknown): StoreError {
  return new StoreError(
    'ONCEMQ_STORE_REFUSED',
    'MysqlStore: expected the transaction to be open when the handler returns, received it ended; leave ' +
      'COMMIT and ROLLBACK to the store, use SAVEPOINT inside, let a deadlock error through, and keep ' +
      'statements that commit by themselves (CREATE, ALTER, TRUNCATE ...) out of it. What the handler has ' +
      'committed by itself stays, and the message is not recorded as done',
    { cause },
  )
}
