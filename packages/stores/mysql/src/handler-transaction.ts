import type { TransactionEnd, UpdateAnswer } from '@oncemq/core/store'
import { revocable, untilAborted } from '@oncemq/core/store'
import type { MysqlConnection, MysqlHeader } from './client.ts'
import type { Connections } from './connection.ts'
import { isUnanswered } from './connection.ts'
import { noteDuplicateKey } from './duplicate-key.ts'
import {
  MYSQL,
  commitError,
  conflict,
  endedError,
  errorNumber,
  handlerError,
  idleError,
  isConflict,
  isDisconnect,
  isRolledBack,
  storeError,
} from './errors.ts'
import { HandlerCalls } from './handler-calls.ts'
import type { FinishStatements } from './finish.ts'
import { changesOf, isRunning, ownerOf } from './finish.ts'
import { NEXT, RELEASE, UNDO } from './frame.ts'
import type { Frame } from './frame.ts'

/** What the handler's code does in its transaction. */
export type Work<Connection> = (tx: Connection) => Promise<TransactionEnd | undefined>

/** One transaction on one connection. */
export class Transaction<Connection extends MysqlConnection> {
  readonly #connection: Connection
  readonly #connections: Connections<Connection>
  readonly #frame: Frame
  readonly #beganAtMs: number
  readonly #calls = new HandlerCalls()
  #isOpen = false
  #hasFailed = false
  #isAbandoned = false
  #isGivenBack = false
  #isBatch = false
  /** Whether its savepoint, or its connection, is gone. */
  #isOver = false
  /** The error by which the server said that it has rolled back, whatever the handler made of it. */
  #rolledBackBy: unknown

  constructor(connection: Connection, connections: Connections<Connection>, frame: Frame) {
    this.#connection = connection
    this.#connections = connections
    this.#frame = frame
    this.#beganAtMs = frame.clock.monotonicMs()
  }

  /** The first statement is refused if the connection came with a transaction, which is then rolled back. */
  async begin(isBatch = false): Promise<void> {
    this.#isBatch = isBatch
    try {
      for (const statement of this.#frame.begin) await this.#query(statement)
      this.#isOpen = true
    } catch (error) {
      this.#hasFailed = true
      throw error
    }
  }

  /** Runs the handler. Its connection ends with it: nothing that it left running writes by it later. */
  async lend(work: Work<Connection>, signal: AbortSignal | undefined): Promise<TransactionEnd | undefined> {
    const onError = (error: unknown): void => {
      noteDuplicateKey(error)
      if (!isRolledBack(error)) return
      this.#rolledBackBy ??= withoutStatement(error)
      // What follows would commit by itself, and again when all is run again.
      loan.fail(error)
    }
    const loan = revocable(this.#connection, {
      store: 'MysqlStore',
      nested: writes,
      ends,
      onCall: (method, args) => this.#calls.sent(method, args),
      onAnswer: (answer) => this.#calls.answered(answer),
      onError,
    })
    try {
      const completion = await untilAborted(() => work(loan.proxy), signal)
      loan.revoke()
      await this.#answered(loan.answered())
      return completion
    } catch (error) {
      loan.revoke()
      this.#isAbandoned ||= signal?.aborted === true && error === signal.reason
      if (this.#isAbandoned) {
        await this.#requireSameTransaction(error)
        throw error
      }
      const made = withoutStatement(loan.driverErrorIn(error))
      if (made !== undefined && isDisconnect(made)) {
        this.#isOver = true
        throw this.#lost(made, error)
      }
      const check = this.#isBatch ? UNDO : RELEASE
      if (this.#rolledBackBy === undefined) await this.#requireSameTransaction(error, check)
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

  async finish(statements: FinishStatements, end: TransactionEnd | undefined): Promise<UpdateAnswer> {
    if (this.#rolledBackBy !== undefined) throw conflict(this.#rolledBackBy)
    const changes = changesOf(statements, end)
    if (this.#frame.finish === undefined) return this.#finishInSteps(statements, end, changes)
    try {
      await this.#commit(this.#frame.finish(changes))
      return 'ok'
    } catch (error) {
      const { cause } = error as { cause?: unknown }
      const number = errorNumber(cause)
      if (number === MYSQL.SUBQUERY_ROWS && end !== undefined) return this.#owner(statements, end)
      const isLeftOpen = number === undefined || isDisconnect(cause)
      if (number !== MYSQL.SAVEPOINT_MISSING && !(isLeftOpen && this.#calls.mayHaveEnded)) {
        throw isDisconnect(cause) && this.#isIdleTooLong ? this.#lost(cause) : error
      }
      // What ended it may have locked tables, which would stay so in the pool: the connection is closed.
      this.#hasFailed = true
      throw endedError(cause)
    }
  }

  /**
   * Completes in the transaction of a batch, which goes on after it, or back to its savepoint. What the
   * handler sent and was answered tells whether the transaction is the one that was begun. Where it leaves
   * doubt the savepoint tells, and is gone then: so the record is looked at before.
   */
  async keep(statements: FinishStatements, end: TransactionEnd | undefined): Promise<UpdateAnswer | 'kept'> {
    try {
      if (this.#rolledBackBy !== undefined) throw conflict(this.#rolledBackBy)
      const mayComplete = this.#calls.isPlain || (await this.#mayComplete(statements, end))
      if (mayComplete && (await this.#isKept(changesOf(statements, end)))) return 'kept'
    } catch (error) {
      const { cause } = error as { cause?: unknown }
      if (isRolledBack(cause)) this.#rolledBackBy ??= cause
      await this.#undo()
      throw error
    }
    await this.#undo()
    return this.#owner(statements, end)
  }

  async #mayComplete(statements: FinishStatements, end: TransactionEnd | undefined): Promise<boolean> {
    const isOurs = await isRunning((statement) => this.#query(statement), statements, end)
    await (isOurs ? this.#requireFit(end) : this.#requireSameTransaction(undefined, UNDO))
    return isOurs
  }

  async #isKept(changes: readonly string[]): Promise<boolean> {
    const { isPlain } = this.#calls
    const { keep } = this.#frame
    if (keep === undefined && !(await this.#hasChanged(changes))) return false
    try {
      this.#calls.answered(await this.#query(keep === undefined ? NEXT : keep(changes)))
    } catch (error) {
      if (errorNumber((error as { cause?: unknown }).cause) === MYSQL.SUBQUERY_ROWS) return false
      throw error
    }
    if (!isPlain || this.#calls.isPlain) return true
    // It has ended the transaction behind the store's back.
    this.#hasFailed = true
    throw endedError(undefined)
  }

  /** Goes back to the savepoint of a batch. Where there is none all goes back. Never rejects. */
  async #undo(): Promise<void> {
    if (this.isOurs) await this.#send(UNDO).catch(() => (this.#isOver = true))
  }

  /** Whether the transaction that was begun is open, and its connection of use. */
  get isOurs(): boolean {
    const isOpen = this.#isOpen && !this.#isOver && this.#rolledBackBy === undefined
    return isOpen && !this.#hasFailed && !this.#isAbandoned
  }

  /** What can be told of a batch that did not stay open. */
  get mayHaveEnded(): boolean {
    return this.#calls.mayHaveEnded
  }

  /** Whether a further handler would find all set as the first one did. */
  get isUnset(): boolean {
    return !this.#calls.hasSet && !this.#calls.hasCalled
  }

  /** Statement by statement. */
  async #finishInSteps(
    statements: FinishStatements,
    end: TransactionEnd | undefined,
    changes: readonly string[],
  ): Promise<UpdateAnswer> {
    await this.#requireFit(end)
    if (!(await this.#hasChanged(changes))) return this.#owner(statements, end)
    await this.#commit()
    return 'ok'
  }

  async #requireFit(end: TransactionEnd | undefined): Promise<void> {
    await this.#requireSameTransaction()
    // A handler's own time would be that of the record, too.
    if (end?.op === 'complete' && !this.isUnset) await this.#query('SET timestamp = DEFAULT')
  }

  async #hasChanged(changes: readonly string[]): Promise<boolean> {
    for (const change of changes) {
      const { affectedRows } = (await this.#query(change)) as MysqlHeader
      if (Number(affectedRows) !== 1) return false
    }
    return true
  }

  #owner(statements: FinishStatements, end: TransactionEnd | undefined): Promise<UpdateAnswer> {
    return ownerOf((statement) => this.#query(statement), statements, end)
  }

  /** A COMMIT without an answer may wait for a replica: nobody is told to give that up. */
  async #commit(sql?: string): Promise<void> {
    try {
      await this.#connections.commit(this.#connection, sql)
      this.#isOpen = false
    } catch (error) {
      this.#hasFailed ||= errorNumber(error) === undefined
      throw commitError(error, this.#frame.where)
    }
  }

  /** Rolls back what is open, or closes at once what nobody is to wait for. Never rejects. */
  async end(): Promise<void> {
    if (this.#isAbandoned) this.#abandon()
    else if (this.#isOpen && !this.#hasFailed) await this.#send('ROLLBACK').catch(() => undefined)
  }

  /** Gives the connection back as it came, or closes it. Never rejects. */
  async giveBack(): Promise<void> {
    this.#hasFailed ||= this.#calls.hasSet
    if (!this.#hasFailed && !this.#isAbandoned) {
      await this.#send(this.#frame.restore).catch(() => (this.#hasFailed = true))
    }
    if (this.#isAbandoned) this.#abandon()
    else this.#connections.release(this.#connection, this.#hasFailed)
  }

  #abandon(): void {
    if (!this.#isGivenBack) this.#connections.abandon(this.#connection)
    this.#isGivenBack = true
  }

  /**
   * The savepoint is gone if the transaction ended: by the handler's COMMIT or ROLLBACK, or by one of the
   * many statements that commit by themselves (CREATE, ALTER, DROP, TRUNCATE, LOCK TABLES, START
   * TRANSACTION). Without an answer, what the handler has sent tells.
   */
  async #requireSameTransaction(thrown?: unknown, check = RELEASE): Promise<void> {
    try {
      await this.#send(check)
    } catch (error) {
      this.#isOver = true
      if (errorNumber(error) === MYSQL.SAVEPOINT_MISSING || this.#calls.mayHaveEnded) {
        // What ended it may have locked tables, which would stay so in the pool: the connection is closed.
        this.#hasFailed = true
        throw endedError(thrown ?? error)
      }
      // A handler that failed has failed, whatever else there is.
      if (thrown !== undefined) return
      throw isDisconnect(error) ? this.#lost(error) : storeError(error, this.#frame.where)
    }
  }

  async #query(statement: string): Promise<unknown> {
    try {
      return await this.#send(statement)
    } catch (error) {
      throw isConflict(error) ? conflict(error) : storeError(error, this.#frame.where)
    }
  }

  /** The server does not say why it closed a connection, so that only the time can tell. */
  #lost(error: unknown, thrown = error): unknown {
    // Whether it was committed is not known any more, so that it must not be run again.
    if (this.#calls.mayHaveEnded) return endedError(thrown)
    const { transactionIdleMs, where } = this.#frame
    return this.#isIdleTooLong ? idleError(transactionIdleMs, error) : storeError(error, where)
  }

  get #isIdleTooLong(): boolean {
    const { clock, transactionIdleMs } = this.#frame
    return clock.monotonicMs() - this.#beganAtMs >= transactionIdleMs
  }

  #send(statement: string): Promise<unknown> {
    const ask = this.#isAbandoned ? 'queryAbandoned' : 'query'
    return this.#run(() => this.#connections[ask](this.#connection, statement))
  }

  /** After anything but the server's own refusal the connection is of no more use. */
  async #run<Answer>(call: () => Promise<Answer>): Promise<Answer> {
    try {
      return await call()
    } catch (error) {
      this.#isAbandoned ||= isUnanswered(error)
      this.#hasFailed ||= errorNumber(error) === undefined
      throw error
    }
  }
}

/** The connection behind that of promises, and prepared statements. */
function writes(value: object): boolean {
  const { query, execute } = value as { query?: unknown; execute?: unknown }
  return typeof query === 'function' || typeof execute === 'function'
}

/** The listeners are the pool's too: without one a lost connection ends the process. */
const ENDING = new Set<string | symbol>([
  'release',
  'end',
  'destroy',
  'close',
  'removeAllListeners',
  Symbol.dispose,
  Symbol.asyncDispose,
])

/** Prepared statements, which have no `query`, may be closed. */
function ends(value: object, method: string | symbol): boolean {
  return 'query' in value && ENDING.has(method)
}

/** The driver hangs the statement onto its error, with the values in it. */
function withoutStatement(error: unknown): unknown {
  if (error instanceof Error) delete (error as { sql?: string }).sql
  return error
}
