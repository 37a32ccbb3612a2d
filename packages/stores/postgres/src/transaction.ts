import type { BatchSteps, NextMember, TransactionMember, UpdateAnswer } from '@oncemq/core/store'
import { Semaphore, together } from '@oncemq/core/store'
import type { PostgresClient } from './client.ts'
import type { Connections } from './connection.ts'
import { endedError, storeError } from './errors.ts'
import type { Finish } from './finish.ts'
import type { Frame } from './frame.ts'
import { frameOf } from './frame.ts'
import type { Work } from './handler-transaction.ts'
import { Transaction } from './handler-transaction.ts'
import type { Settings } from './options.ts'

/**
 * The handlers' transactions, each on a connection of its own, a bounded number at a time: the connections
 * that are left are for claims and renewals, which handlers that wait for a connection must not hold up.
 *
 *   BEGIN ──▶ work ──▶ tx is revoked ──▶ completion, if this very transaction is still open; COMMIT
 *               │          │                └─ fails, since the claim is not ours ──▶ ROLLBACK, ask whose
 *               │          └─ thrown ──▶ ROLLBACK
 *               └─ aborted ──▶ tx is revoked, the connection is closed and the server told
 */
export class Transactions<Client extends PostgresClient> {
  readonly #connections: Connections<Client>
  readonly #frame: Frame
  readonly #running = new Set<Promise<unknown>>()
  readonly #turns: Semaphore

  constructor(connections: Connections<Client>, finish: Finish, settings: Settings<Client>) {
    this.#connections = connections
    this.#turns = new Semaphore(settings.transactionsMax)
    this.#frame = frameOf(settings as unknown as Settings, finish)
  }

  /**
   * Opens a transaction, runs the handler in it, and commits what it wrote and its completion, or neither.
   */
  handle(work: Work<Client>, signal?: AbortSignal): Promise<UpdateAnswer> {
    return this.#inTurn(() => this.#handle(work, signal), signal)
  }

  /** Handles what `next` gives in one transaction: see `BatchingStore`. */
  handleTogether(next: NextMember<Client>): Promise<void> {
    return this.#inTurn(() => together(new PostgresBatch(this.#connections, this.#frame), next))
  }

  async #inTurn<Answer>(run: () => Promise<Answer>, signal?: AbortSignal): Promise<Answer> {
    await this.#turns.acquire(signal)
    const running = run().finally(() => {
      this.#running.delete(running)
      this.#turns.release()
    })
    this.#running.add(running)
    return running
  }

  /** Resolves when nothing is under way any more. */
  async drained(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running)
  }

  async #handle(work: Work<Client>, signal: AbortSignal | undefined): Promise<UpdateAnswer> {
    const client = await this.#connections.acquire().catch((error: unknown) => {
      throw storeError(error, this.#frame.where)
    })
    const transaction = new Transaction(client, this.#connections, this.#frame)
    try {
      await transaction.begin()
      const completion = await transaction.lend(work, signal)
      const answer = await transaction.finish(completion)
      await transaction.end()
      return answer
    } catch (error) {
      // Its connection is free first: the pool may have no other one to ask by.
      await transaction.end()
      throw (await transaction.wasCommittedByHandler()) ? endedError(error) : error
    }
  }
}

/** A transaction of several handlers. */
class PostgresBatch<Client extends PostgresClient> implements BatchSteps<Client> {
  readonly #connections: Connections<Client>
  readonly #frame: Frame
  #transaction: Transaction<Client> | undefined
  #fate: Promise<boolean | undefined> | undefined

  constructor(connections: Connections<Client>, frame: Frame) {
    this.#connections = connections
    this.#frame = frame
  }

  get #begun(): Transaction<Client> {
    return this.#transaction as Transaction<Client>
  }

  get isOpen(): boolean {
    return this.#begun.isOurs
  }

  get hasRoom(): boolean {
    return this.#begun.isOurs && this.#begun.isUnset
  }

  async begin(): Promise<void> {
    const client = await this.#connections.acquire().catch((error: unknown) => {
      throw storeError(error, this.#frame.where)
    })
    this.#transaction = new Transaction(client, this.#connections, this.#frame, true)
    await this.#transaction.begin()
  }

  async run({ work, signal }: Pick<TransactionMember<Client>, 'work' | 'signal'>) {
    try {
      return await this.#begun.keep(await this.#begun.lend(work, signal))
    } catch (error) {
      if (this.isOpen) throw error
      // No other try may repeat what a handler has committed by itself.
      await this.end()
      const hasCommitted = this.#begun.hasGoneOn || (await this.wasCommitted()) === true
      throw hasCommitted ? endedError(error) : error
    }
  }

  async commit(): Promise<void> {
    await this.#begun.finish(undefined)
  }

  async end(): Promise<void> {
    await this.#transaction?.end()
  }

  wasCommitted(): Promise<boolean | undefined> {
    this.#fate ??= this.#begun.wasCommitted()
    return this.#fate
  }
}
