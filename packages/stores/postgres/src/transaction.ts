import type { TransactionEnd, UpdateAnswer } from '@oncemq/core/store'
import { revocable, Semaphore, StoreError, untilAborted } from '@oncemq/core/store'
import type { PostgresClient, PostgresResult } from './client.ts'
import type { Connections } from './connection.ts'
import { isUnanswered, nameOf } from './connection.ts'
import {
  behindAbort,
  commitError,
  conflict,
  endedError,
  handlerError,
  idleError,
  isAborted,
  isConflict,
  isIdleTooLong,
  isUnprepared,
  noteAbort,
  sqlState,
  storeError,
} from './errors.ts'
import type { Finish } from './finish.ts'
import { finishFailureOf, isPreparedOn, notePrepared } from './finish.ts'
import type { Settings } from './options.ts'
import { setsSession } from './session-settings.ts'

/** What the handler's code does in its transaction. */
type Work<Client> = (tx: Client) => Promise<TransactionEnd | undefined>

/** Asks for one answer; `undefined` for none. */
type Ask = (text: string, values: unknown[]) => Promise<string | undefined>

/** The statements around a handler, and their settings. */
interface Frame {
  readonly where: string
  readonly transactionIdleMs: number
  readonly begin: string
  readonly finish: Finish
}

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
    const { isolation, transactionIdleMs, transactionsMax } = settings
    this.#connections = connections
    this.#turns = new Semaphore(transactionsMax)
    this.#frame = {
      where: nameOf(settings),
      transactionIdleMs,
      // The transaction's own number, by which it is known again, is assigned at once.
      begin:
        `BEGIN ISOLATION LEVEL ${isolation}; SELECT pg_current_xact_id()::text AS answer, ` +
        `set_config('idle_in_transaction_session_timeout', '${transactionIdleMs}', true)`,
      finish,
    }
  }

  /**
   * Opens a transaction, runs the handler in it, and commits what it wrote and its completion, or neither.
   */
  async handle(work: Work<Client>, signal?: AbortSignal): Promise<UpdateAnswer> {
    await this.#turns.acquire(signal)
    const running = this.#handle(work, signal).finally(() => {
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

/** One transaction on one connection. */
class Transaction<Client extends PostgresClient> {
  readonly #client: Client
  readonly #connections: Connections<Client>
  readonly #frame: Frame
  /** Notes why the connection was lost, which the driver says once, and not to whom asks later. */
  readonly #noteLoss = (error: unknown): void => void (this.#loss ??= error)
  #id: string | undefined
  #isPrepared = false
  #isOpen = false
  #hasFailed = false
  #isAbandoned = false
  #isCommitting = false
  #end: TransactionEnd | undefined
  /** The last error of a statement, which has aborted the transaction unless it went back to a savepoint. */
  #abortedBy: unknown
  /** Whether the session has settings of the handler's, which its next user must not have. */
  #hasSet = false
  #loss: unknown

  constructor(client: Client, connections: Connections<Client>, frame: Frame) {
    this.#client = client
    this.#connections = connections
    this.#frame = frame
    client.on('error', this.#noteLoss)
  }

  async begin(): Promise<void> {
    this.#isOpen = true
    const { begin, finish } = this.#frame
    const isPrepared = this.#connections.mayPrepare
    const isNew = isPrepared && !isPreparedOn(this.#client, finish.name)
    try {
      // Of several statements `pg` answers several results.
      const results: unknown = await this.#query(isNew ? `${finish.prepare}; ${begin}` : begin)
      this.#id = answerOf((results as readonly PostgresResult[]).at(-1))
    } catch (error) {
      // Another copy of this package has prepared it. The whole is run again, without.
      if (isNew && isUnprepared((error as Error).cause)) throw this.#unprepared(error)
      throw error
    }
    if (isNew) notePrepared(this.#client, finish.name)
    this.#isPrepared = isPrepared
  }

  /** Runs the handler. Its connection ends with it: nothing that it left running writes by it later. */
  async lend(work: Work<Client>, signal: AbortSignal | undefined): Promise<TransactionEnd | undefined> {
    const onError = (error: unknown): void => this.#noteError(error)
    const onCall = (_method: unknown, args: readonly unknown[]): void =>
      void (this.#hasSet ||= setsSession(args))
    const loan = revocable(this.#client, { store: 'PostgresStore', nested: writes, ends, onCall, onError })
    try {
      const completion = await untilAborted(() => work(loan.proxy), signal)
      loan.revoke()
      await this.#answered(loan.answered())
      return completion
    } catch (error) {
      loan.revoke()
      this.#isAbandoned ||= signal?.aborted === true && error === signal.reason
      if (this.#isAbandoned) throw error
      const made = loan.driverErrorIn(error)
      if (made !== undefined && this.#loss !== undefined) throw this.#lost(made)
      if (await this.#rollback().catch(() => false)) throw endedError(error)
      throw handlerError(error, made, this.#frame.where)
    } finally {
      loan.revoke()
    }
  }

  /** What the handler did not await is a part of it: no answer to it is no silence of the store's own. */
  async #answered(asked: Promise<unknown> | undefined): Promise<void> {
    if (asked === undefined) return
    try {
      await this.#connections.withinLimit(asked)
    } catch (error) {
      this.#isAbandoned = true
      throw error
    }
  }

  /** Completes and commits in one message: the COMMIT runs only if what stands before it did not fail. */
  async finish(end: TransactionEnd | undefined): Promise<UpdateAnswer> {
    if (this.#loss !== undefined) throw this.#lost(this.#loss)
    this.#end = end
    try {
      await this.#commit(this.#frame.finish.sql(end, this.#id as string, this.#isPrepared))
      return 'ok'
    } catch (error) {
      const failure = finishFailureOf(error, this.#id as string)
      if (failure === 'ended') throw endedError(error)
      if (failure === 'lost' && end !== undefined) return this.#owner(end, error)
      throw this.#finishError(error)
    }
  }

  /** A COMMIT without an answer may wait for a standby: nobody is told to give that up. */
  async #commit(finish: string): Promise<void> {
    this.#isCommitting = true
    try {
      const results: unknown = await this.#connections.query(this.#client, `${finish}; COMMIT`)
      // PostgreSQL answers a COMMIT of what it has given up as a success, but names what it did.
      if ((results as readonly PostgresResult[]).at(-1)?.command !== 'COMMIT') throw endedError()
      this.#isOpen = false
    } catch (error) {
      this.#hasFailed ||= sqlState(error) === undefined
      throw error
    }
  }

  #unprepared(error: unknown): StoreError {
    this.#connections.stopPreparing()
    return conflict(error)
  }

  #finishError(error: unknown): unknown {
    // The handler, or a pooler that was not seen, has emptied the session. The whole is run again, without.
    if (isUnprepared(error)) return this.#unprepared(error)
    if (isIdleTooLong(error) || isIdleTooLong(this.#loss)) return this.#lost(error)
    this.#noteError(error)
    const made = behindAbort(error)
    return isConflict(made) ? conflict(error) : commitError(error, this.#frame.where)
  }

  /**
   * Whose record and log are, asked after the rollback. What this claim has done is the repetition of a
   * transaction whose commit was not known: the first run's writes are there, so that this run's must not be.
   */
  async #owner(end: TransactionEnd, error: unknown): Promise<UpdateAnswer> {
    await this.#query('ROLLBACK')
    this.#isOpen = false
    const found = await this.#standings(end, async (text, values) => {
      const { rows } = await this.#query(text, values)
      return (rows as readonly { readonly answer: string }[])[0]?.answer
    })
    // Ours as before: the handler has changed the record within this transaction.
    if (found.every((standing) => standing === 'ours')) throw commitError(error, this.#frame.where)
    return found.every((standing) => standing === 'done') ? 'ok' : 'lost'
  }

  async #standings(end: TransactionEnd, ask: Ask): Promise<string[]> {
    const found: string[] = []
    for (const [text, values] of this.#frame.finish.standings(end))
      found.push((await ask(text, values)) ?? 'lost')
    return found
  }

  /** Rolls back what is open, and gives the connection back. Never rejects. */
  async end(): Promise<void> {
    if (this.#isOpen && !this.#hasFailed && !this.#isAbandoned) {
      await this.#run('ROLLBACK').catch(() => undefined)
    }
    this.#client.removeListener('error', this.#noteLoss)
    if (this.#isAbandoned) this.#connections.abandon(this.#client)
    else this.#connections.release(this.#client, this.#hasFailed || this.#hasSet)
  }

  /**
   * Whether the handler had committed by itself, asked by another connection where its own is of no more use:
   * no other try may repeat that. A server that does not answer has it taken for rolled back.
   */
  async wasCommittedByHandler(): Promise<boolean> {
    const isUseless = this.#isAbandoned || this.#hasFailed
    if (!isUseless || this.#id === undefined) return false
    try {
      const [status] = await this.#connections.run(statusOf(this.#id))
      return status === 'committed' && !(await this.#mayHaveCommitted())
    } catch {
      return false
    }
  }

  /** Whether it may have been the store that committed: then its record is done, and its log moved. */
  async #mayHaveCommitted(): Promise<boolean> {
    if (!this.#isCommitting || this.#end === undefined) return this.#isCommitting
    const ask: Ask = async (text, values) => (await this.#connections.run(text, values))[0] as string
    const found = await this.#standings(this.#end, ask)
    return found.every((standing) => standing === 'done')
  }

  /** Rolls back, and answers whether the handler had committed by itself, which no other try may repeat. */
  async #rollback(): Promise<boolean> {
    // Of several statements `pg` answers several results.
    const results = (await this.#run(
      `ROLLBACK; ${statusOf(this.#id)}`,
    )) as unknown as readonly PostgresResult[]
    this.#isOpen = false
    return answerOf(results[1]) === 'committed'
  }

  async #query(text: string, values?: unknown[]): Promise<PostgresResult> {
    try {
      return await this.#run(text, values)
    } catch (error) {
      if (this.#loss !== undefined) throw this.#lost(error)
      this.#noteError(error)
      throw isConflict(behindAbort(error)) ? conflict(error) : storeError(error, this.#frame.where)
    }
  }

  #noteError(error: unknown): void {
    if (isAborted(error)) noteAbort(error, this.#abortedBy)
    else this.#abortedBy = error
  }

  #lost(error: unknown): StoreError {
    const { transactionIdleMs, where } = this.#frame
    return isIdleTooLong(this.#loss) ? idleError(transactionIdleMs, this.#loss) : storeError(error, where)
  }

  /** After anything but the server's own refusal the connection is of no more use. */
  async #run(text: string, values?: unknown[]): Promise<PostgresResult> {
    try {
      return await this.#connections.query(this.#client, text, values)
    } catch (error) {
      this.#isAbandoned ||= isUnanswered(error)
      this.#hasFailed ||= sqlState(error) === undefined
      throw error
    }
  }
}

/** The connection behind the client, which takes statements too. */
const writes = (value: object): boolean => typeof (value as { query?: unknown }).query === 'function'

/** The listeners are the store's and the pool's: without one a lost connection ends the process. */
const ENDING = new Set<string | symbol>(['release', 'end', 'removeAllListeners', Symbol.asyncDispose])

function ends(_client: object, method: string | symbol): boolean {
  return ENDING.has(method)
}

function statusOf(id: string | undefined): string {
  return `SELECT pg_xact_status('${id}')::text AS answer`
}

function answerOf(result: PostgresResult | undefined): string {
  const [row] = (result?.rows ?? []) as readonly { readonly answer: string }[]
  if (row !== undefined) return row.answer
  throw new StoreError(
    'ONCEMQ_STORE_BROKEN',
    'PostgresStore: expected a row, received none; look at what stands between the client and the server',
  )
}
