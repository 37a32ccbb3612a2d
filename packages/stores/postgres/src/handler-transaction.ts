import type { TransactionEnd, UpdateAnswer } from '@oncemq/core/store'
import { revocable, StoreError, untilAborted } from '@oncemq/core/store'
import type { PostgresClient, PostgresResult } from './client.ts'
import type { Connections } from './connection.ts'
import { isUnanswered } from './connection.ts'
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
import { finishFailureOf, isPreparedOn, notePrepared } from './finish.ts'
import type { Frame } from './frame.ts'
import { keepSql, NO_SAVEPOINT, UNDO } from './frame.ts'
import { SessionTraces } from './session-settings.ts'

/** What the handler's code does in its transaction. */
export type Work<Client> = (tx: Client) => Promise<TransactionEnd | undefined>

const ASK_AGAIN_MS = 20

/** Asks for one answer; `undefined` for none. */
type Ask = (text: string, values: unknown[]) => Promise<string | undefined>

/** One transaction on one connection. */
export class Transaction<Client extends PostgresClient> {
  readonly #client: Client
  readonly #connections: Connections<Client>
  readonly #frame: Frame
  /** Notes why the connection was lost, which the driver says once, and not to whom asks later. */
  readonly #noteLoss = (error: unknown): void => void (this.#loss ??= error)
  #id: string | undefined
  /** Of the session, as each handler of a batch finds it. */
  #lockWait: string | undefined
  #isPrepared = false
  #isOpen = false
  #hasFailed = false
  #isAbandoned = false
  #isCommitting = false
  #end: TransactionEnd | undefined
  /** The last error of a statement, which has aborted the transaction unless it went back to a savepoint. */
  #abortedBy: unknown
  readonly #traces = new SessionTraces()
  #loss: unknown
  /** Whether it goes back to a savepoint where another is rolled back. */
  readonly #isBatch: boolean
  #isEnded = false
  #isGivenBack = false

  constructor(client: Client, connections: Connections<Client>, frame: Frame, isBatch = false) {
    this.#isBatch = isBatch
    this.#client = client
    this.#connections = connections
    this.#frame = frame
    client.on('error', this.#noteLoss)
  }

  async begin(): Promise<void> {
    this.#isOpen = true
    const { finish } = this.#frame
    const begin = this.#isBatch ? this.#frame.beginBatch : this.#frame.begin
    const isPrepared = this.#connections.mayPrepare
    const isNew = isPrepared && !isPreparedOn(this.#client, finish.name)
    try {
      // Of several statements `pg` answers several results.
      const results: unknown = await this.#query(isNew ? `${finish.prepare}; ${begin}` : begin)
      ;[this.#id, this.#lockWait] = answerOf((results as readonly PostgresResult[]).at(-1)).split(' ')
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
    const onCall = (_method: unknown, args: readonly unknown[]): void => this.#traces.note(args)
    const loan = revocable(this.#client, { store: 'PostgresStore', nested: writes, ends, onCall, onError })
    try {
      const completion = await untilAborted(() => work(loan.proxy), signal)
      loan.revoke()
      await this.#answered(loan.answered())
      return completion
    } catch (error) {
      loan.revoke()
      const isAborted = signal?.aborted === true && error === signal.reason
      // A batch goes on where nothing of this handler's is under way.
      this.#isAbandoned ||= isAborted && (!this.#isBatch || loan.answered() !== undefined)
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

  /** Completes in the transaction of a batch, which goes on after it, or back to its savepoint. */
  async keep(end: TransactionEnd | undefined): Promise<UpdateAnswer | 'kept'> {
    if (this.#loss !== undefined) throw this.#lost(this.#loss)
    try {
      const finish = this.#frame.finish.sql(end, this.#id as string, this.#isPrepared)
      await this.#run(`${finish}; ${keepSql(this.#lockWait as string)}`)
      return 'kept'
    } catch (error) {
      const failure = finishFailureOf(error, this.#id as string)
      // What aborted it is asked for before it is undone.
      const told = sqlState(error) === undefined ? this.#lost(error) : this.#finishError(error)
      if ((await this.#undo()) || failure === 'ended') throw endedError(error)
      if (failure === 'lost' && end !== undefined) return this.#standing(end, error)
      throw told
    }
  }

  /** Goes back to the savepoint. Answers whether the transaction was ended, so that there is none. */
  async #undo(): Promise<boolean> {
    if (this.#hasFailed || this.#isAbandoned) return false
    try {
      await this.#run(`${UNDO}; ${this.#frame.finish.sql(undefined, this.#id as string, false)}`)
      this.#abortedBy = undefined
    } catch (error) {
      this.#isEnded = true
      return finishFailureOf(error, this.#id as string) === 'ended' || NO_SAVEPOINT.has(sqlState(error))
    }
    return false
  }

  /** Whether the transaction that was begun is open, and its connection of use. */
  get isOurs(): boolean {
    return !this.#isEnded && !this.#hasFailed && !this.#isAbandoned && this.#loss === undefined
  }

  /** Whether a handler has gone on after an end of its own, where each statement commits by itself. */
  get hasGoneOn(): boolean {
    return this.#traces.hasGoneOn
  }

  /** Whether a further handler would find all set as the first one did. */
  get isUnset(): boolean {
    return !this.#traces.hasSet && !this.#traces.hasSetLocally
  }

  /** Asked by another connection, after the end; `undefined` where the server does not tell. */
  async wasCommitted(): Promise<boolean | undefined> {
    const { clock, timeoutMs } = this.#frame
    const deadlineMs = clock.monotonicMs() + timeoutMs
    const ask = () => this.#connections.run(statusOf(this.#id)).catch(() => [undefined])
    // A connection that was abandoned is still being closed.
    for (let status = 'in progress'; ; [status = 'unknown'] = await ask()) {
      if (status === 'committed' || status === 'aborted') return status === 'committed'
      if (clock.monotonicMs() >= deadlineMs) return undefined
      await new Promise<void>((resolve) => void clock.after(ASK_AGAIN_MS, resolve))
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
    return this.#standing(end, error)
  }

  async #standing(end: TransactionEnd, error: unknown): Promise<UpdateAnswer> {
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
    if (this.#isGivenBack) return
    this.#isGivenBack = true
    if (this.#isOpen && !this.#hasFailed && !this.#isAbandoned) {
      await this.#run('ROLLBACK').catch(() => undefined)
    }
    this.#client.removeListener('error', this.#noteLoss)
    if (this.#isAbandoned) this.#connections.abandon(this.#client)
    else this.#connections.release(this.#client, this.#hasFailed || this.#traces.hasSet)
  }

  /**
   * Whether the handler had committed by itself, asked by another connection where its own is of no more use:
   * no other try may repeat that. A server that does not answer has it taken for rolled back, unless the
   * handler went on after an end of its own: each statement committed by itself there.
   */
  async wasCommittedByHandler(): Promise<boolean> {
    if (this.#traces.hasGoneOn) return true
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

  /** Rolls back, and answers whether the handler had committed by itself: of a batch this is asked later. */
  async #rollback(): Promise<boolean> {
    if (this.#isBatch) return this.#undo().then(() => false)
    // Of several statements `pg` answers several results.
    const results: unknown = await this.#run(`ROLLBACK; ${statusOf(this.#id)}`)
    this.#isOpen = false
    return answerOf((results as readonly PostgresResult[])[1]) === 'committed'
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
