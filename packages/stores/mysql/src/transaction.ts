import type { BatchSteps, NextMember, TransactionMember, UpdateAnswer } from '@oncemq/core/store'
import { Semaphore, together } from '@oncemq/core/store'
import type { MysqlConnection } from './client.ts'
import type { Connections } from './connection.ts'
import { storeError } from './errors.ts'
import type { FinishStatements } from './finish.ts'
import type { Frame } from './frame.ts'
import { Transaction } from './handler-transaction.ts'
import type { Work } from './handler-transaction.ts'

/**
 * The handlers' transactions, each on a connection of its own, a bounded number at a time: the connections
 * that are left are for claims and renewals, which handlers that wait for a connection must not hold up.
 *
 *   START ──▶ work ──▶ tx is revoked ──▶ completion, if this very transaction is still open ──▶ COMMIT
 *               │          │                │  (one message, where the server takes several statements)
 *               │          │                └─ lost ──▶ ROLLBACK
 *               │          └─ thrown ──▶ ROLLBACK
 *               └─ aborted ──▶ tx is revoked, what waits is stopped, the connection is closed
 */
export class Transactions<Connection extends MysqlConnection> {
  readonly #connections: Connections<Connection>
  readonly #statements: FinishStatements
  readonly #frame: Frame
  readonly #running = new Set<Promise<unknown>>()
  readonly #turns: Semaphore

  constructor(connections: Connections<Connection>, statements: FinishStatements, frame: Frame) {
    this.#connections = connections
    this.#statements = statements
    this.#frame = frame
    this.#turns = new Semaphore(frame.transactionsMax)
  }

  /**
   * Opens a transaction, runs the handler in it, and commits what it wrote and its completion, or neither.
   */
  handle(work: Work<Connection>, signal?: AbortSignal): Promise<UpdateAnswer> {
    return this.#inTurn(async (transaction) => {
      await transaction.begin()
      const completion = await transaction.lend(work, signal)
      return transaction.finish(this.#statements, completion)
    }, signal)
  }

  /** Handles what `next` gives in one transaction: see `BatchingStore`. */
  async handleTogether(next: NextMember<Connection>): Promise<void> {
    const run = (transaction: Transaction<Connection>) =>
      together(new MysqlBatch(transaction, this.#statements), next)
    try {
      await this.#inTurn(run)
    } catch (error) {
      // There was no connection.
      for (let member = next(); member !== undefined; member = next()) member.reject(error)
    }
  }

  async #inTurn<Answer>(
    run: (transaction: Transaction<Connection>) => Promise<Answer>,
    signal?: AbortSignal,
  ): Promise<Answer> {
    await this.#turns.acquire(signal)
    const connection = await this.#connections.acquire().catch((error: unknown) => {
      this.#turns.release()
      throw storeError(error, this.#frame.where)
    })
    const transaction = new Transaction(connection, this.#connections, this.#frame)
    const handled = this.#ended(transaction, run)
    // The answer does not wait until the connection is as it was before.
    const running = handled
      .catch(() => undefined)
      .then(() => transaction.giveBack())
      .finally(() => {
        this.#running.delete(running)
        this.#turns.release()
      })
    this.#running.add(running)
    return handled
  }

  async #ended<Answer>(
    transaction: Transaction<Connection>,
    run: (transaction: Transaction<Connection>) => Promise<Answer>,
  ): Promise<Answer> {
    try {
      return await run(transaction)
    } finally {
      await transaction.end()
    }
  }

  /** Resolves when nothing is under way any more. */
  async drained(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running)
  }
}

/** A transaction of several handlers. Its connection is given back by whoever has lent it. */
class MysqlBatch<Connection extends MysqlConnection> implements BatchSteps<Connection> {
  readonly #transaction: Transaction<Connection>
  readonly #statements: FinishStatements

  constructor(transaction: Transaction<Connection>, statements: FinishStatements) {
    this.#transaction = transaction
    this.#statements = statements
  }

  get isOpen(): boolean {
    return this.#transaction.isOurs
  }

  get hasRoom(): boolean {
    return this.isOpen && this.#transaction.isUnset
  }

  begin(): Promise<void> {
    return this.#transaction.begin(true)
  }

  async run({ work, signal }: Pick<TransactionMember<Connection>, 'work' | 'signal'>) {
    const end = await this.#transaction.lend(work, signal)
    return this.#transaction.keep(this.#statements, end)
  }

  async commit(): Promise<void> {
    await this.#transaction.finish(this.#statements, undefined)
  }

  end(): Promise<void> {
    return this.#transaction.end()
  }

  /** Only a handler may have committed it, as far as its statements tell. */
  async wasCommitted(): Promise<boolean | undefined> {
    return this.#transaction.mayHaveEnded ? undefined : false
  }
}
