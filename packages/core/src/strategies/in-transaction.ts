import type { Commit, Start } from '../claims/start.ts'
import { contextOf } from '../delivery/context.ts'
import type { Position, StoredLog } from '../delivery/position.ts'
import type { ProcessOutcome } from '../delivery/outcome.ts'
import { isOncemqError, OncemqError, OptionError, StoreError } from '../errors.ts'
import type {
  CompleteUpdate,
  Store,
  TransactionalStore,
  TransactionEnd,
  UpdateAnswer,
} from '../store/contract.ts'
import { backoffMs, jittered } from '../time/backoff.ts'
import type { Timer } from '../time/clock.ts'
import { pause } from '../time/condition.ts'
import { missingMethod } from '../validate.ts'
import { bounded } from './bounded.ts'
import { completed } from './completed.ts'
import { failed, isPermanent } from './failure.ts'
import type { CheckedSettings, Explain, Handler, StrategyServices } from './strategy.ts'
import type { TransactionBatches } from './transaction-batches.ts'

const CONFLICT_BACKOFF = { firstMs: 5, factor: 2, maxMs: 500 }
const TRANSACTIONS_MAX = 8

/** Why nobody waits any more: made once, since each error that is made takes a look at the stack. */
const OVER = new Error('the transaction is over')

export interface TransactionWays<Tx> {
  /** May know better what an error means than that the handler failed. */
  readonly explain?: Explain<Tx>
  /** The log that is moved in the same transaction, and past which record. */
  readonly position?: Position<StoredLog>
  /** Runs the first transaction of a message together with others; those after it are its own. */
  readonly batches?: Pick<TransactionBatches<Tx>, 'transaction'> | undefined
}

/**
 * Runs a handler in a transaction of the store, and completes in the same one where there is a record. Never
 * rejects.
 */
export function inTransaction<Tx>(
  start: Start,
  handler: Handler<Tx>,
  services: StrategyServices,
  ways: TransactionWays<Tx> = {},
): Promise<ProcessOutcome> {
  return new Attempt(start, handler, services, ways).run()
}

/**
 * For strategies that run their handlers so. @throws OptionError for a store without transactions, and for
 * `onStoreDown: 'process'`.
 */
export function requireTransactions(strategy: string, { store, onStoreDown }: CheckedSettings): void {
  if (!store.guarantees.transactional || missingMethod(store, ['transaction']) !== undefined) {
    throw new OptionError(
      `strategy: expected a store with transactions for '${strategy}', received '${store.name}' without; ` +
        `use strategy 'lease', or a store that has them`,
    )
  }
  if (onStoreDown === 'process') {
    throw new OptionError(
      `onStoreDown: expected 'hold' with strategy '${strategy}', received 'process'; ` +
        `without its store there is no transaction to give to the handler`,
    )
  }
}

/** Completes a claim in a transaction, to find out at start whether the server has any. */
export function completeInTransaction(store: Store, completion: CompleteUpdate): Promise<UpdateAnswer> {
  return (store as TransactionalStore<unknown>).transaction(async () => completion)
}

/** One start, with as many transactions as the database asks for, up to a bound. */
class Attempt<Tx> {
  readonly #start: Start
  readonly #handler: Handler<Tx>
  readonly #services: StrategyServices
  readonly #explain: Explain<Tx> | undefined
  readonly #position: Position<StoredLog> | undefined
  #batches: TransactionWays<Tx>['batches']
  #result: Uint8Array | undefined
  /** Whether the handler was run in the last transaction. */
  #hasRun = false
  /** What the handler of the last transaction threw. Whatever else is thrown is the store's. */
  #thrown: { readonly error: unknown; readonly tx: Tx } | undefined

  constructor(start: Start, handler: Handler<Tx>, services: StrategyServices, ways: TransactionWays<Tx>) {
    this.#start = start
    this.#handler = handler
    this.#services = services
    this.#explain = ways.explain
    this.#position = ways.position
    // What ends the process, or has no record to find out by, is nobody's neighbour.
    this.#batches = start.attempt === 1 && start.epoch > 0 ? ways.batches : undefined
  }

  async run(): Promise<ProcessOutcome> {
    for (let count = 1; ; count += 1) {
      try {
        const completion = await this.#start.commit((complete) => this.#transaction(complete))
        return completed(completion, this.#result)
      } catch (error) {
        if (!this.#isConflict(error)) return this.#ended(error)
        this.#batches = undefined
        if (this.#start.isLost) return this.#lost('failed')
        if (count === TRANSACTIONS_MAX) return this.#conflicted(error)
        const { clock, random } = this.#services
        await pause(clock, jittered(backoffMs(CONFLICT_BACKOFF, count - 1), random))
      }
    }
  }

  /** A code alone proves nothing: the handler may have thrown the error of another deduplicator. */
  #isConflict(error: unknown): error is OncemqError {
    const isHandlers = this.#thrown !== undefined && this.#thrown.error === error
    return !isHandlers && isOncemqError(error) && error.code === 'ONCEMQ_TRANSACTION_CONFLICT'
  }

  async #ended(error: unknown): Promise<ProcessOutcome> {
    const explained = await this.#explained(error)
    if (explained !== undefined) return explained
    const isHandlers = this.#thrown !== undefined && this.#thrown.error === error
    if (isHandlers || !isOncemqError(error) || error.code === 'ONCEMQ_HANDLER_TIMEOUT') {
      return failed(this.#start, error, this.#services)
    }
    if (error.code === 'ONCEMQ_TRANSACTION_ENDED') return this.#endedByHandler(error)
    if (error.code === 'ONCEMQ_LEASE_LOST') return this.#lost('unstarted')
    this.#services.events.emit('storeError', () => ({ operation: 'transaction', entries: 1, error }))
    const isRefused = !error.retryable && !isPermanent(error)
    // What the handler wrote may be what cannot be committed.
    if (isRefused && this.#hasRun) return failed(this.#start, error, this.#services)
    if (await this.#isCutAlone(error)) return this.#cut(error)
    // The database could not open or commit the transaction: no failed attempt of the handler.
    await this.#start.release('unstarted')
    if (error.code === 'ONCEMQ_CLOSED') return { status: 'closed', error }
    return { status: isRefused ? 'store-refused' : 'store-down', error }
  }

  /** Whether its connection is lost, and the store works: what the handler does may be what ends it. */
  async #isCutAlone({ code }: OncemqError): Promise<boolean> {
    return this.#hasRun && code === 'ONCEMQ_STORE_UNAVAILABLE' && (await this.#services.isStoreUp())
  }

  /** A start like one that ended with its process: it may be another's doing, so the last one is alone. */
  #cut(error: OncemqError): Promise<ProcessOutcome> {
    return failed(this.#start, error, { ...this.#services, attemptsMax: this.#services.attemptsMax + 1 })
  }

  /** What the handler threw belongs to its `tx`; what the commit has thrown, to none. */
  #explained(error: unknown): ReturnType<Explain<Tx>> {
    const thrown = this.#thrown
    const tx = thrown?.error === error ? thrown?.tx : undefined
    return this.#explain?.(error, tx)
  }

  /** What the handler committed stays. To run it again would do it twice. */
  async #endedByHandler(error: OncemqError): Promise<ProcessOutcome> {
    const { key, attempt } = this.#start
    await this.#start.release('spent')
    this.#services.events.emit('failed', () => ({ key, attempt, final: true, error }))
    const forgive = (): Promise<boolean> => this.#start.forgive()
    return { status: 'failed', final: true, error, attempt, reason: 'transaction-ended', forgive }
  }

  async #lost(reason: 'failed' | 'unstarted'): Promise<ProcessOutcome> {
    await this.#start.release(reason)
    return { status: 'lost' }
  }

  async #conflicted(error: OncemqError): Promise<ProcessOutcome> {
    const outcome = await failed(this.#start, error, this.#services)
    if (outcome.status !== 'failed' || outcome.final) return outcome
    return { status: 'transaction-conflict', error, attempt: outcome.attempt }
  }

  /**
   * The store's transaction, each of whose own parts has a bound, as has the handler between them: a server
   * that stopped must not hold a delivery for ever. To begin may take a lease: handlers wait for their turn
   * where a store has few connections, or one.
   */
  #transaction(complete: Parameters<Commit>[0]): Promise<UpdateAnswer> {
    const { clock, leaseMs, store, storeTimeoutMs } = this.#services
    const stop = new AbortController()
    const batches = this.#batches
    this.#thrown = undefined
    this.#hasRun = false
    return new Promise((resolve, reject) => {
      let timer: Timer | undefined
      let isOver = false
      const expectStore = (boundMs: number, makeError: () => StoreError): void => {
        // A handler that was given up may end after its transaction has.
        if (isOver) return
        timer = clock.after(boundMs, () => {
          const error = makeError()
          stop.abort(error)
          reject(error)
        })
      }
      const work = async (tx: Tx): Promise<TransactionEnd | undefined> => {
        // Nobody waits for a transaction that begins so late: it is rolled back.
        stop.signal.throwIfAborted()
        timer?.cancel()
        // Another worker may have the key by now.
        if (this.#start.isLost) throw lostMeanwhile()
        this.#hasRun = true
        try {
          this.#result = await this.#handle(tx, stop)
          return this.#endWith(complete(this.#result))
        } finally {
          const makeError = (): StoreError => {
            const message = silent('commit or rollback', storeTimeoutMs, 'storeTimeoutMs')
            return new StoreError('ONCEMQ_COMMIT_UNKNOWN', message)
          }
          // The handlers of others may come between.
          if (batches === undefined) expectStore(storeTimeoutMs, makeError)
        }
      }
      expectStore(leaseMs, () => {
        const message = silent('transaction', leaseMs, 'leaseMs')
        return new StoreError('ONCEMQ_STORE_TIMEOUT', message)
      })
      ;(batches ?? (store as Store as TransactionalStore<Tx>))
        .transaction(work, stop.signal)
        .then(resolve, reject)
        .finally(() => {
          isOver = true
          timer?.cancel()
          // Where nobody waits any more, the store need not either.
          if (batches !== undefined) stop.abort(OVER)
        })
    })
  }

  #endWith(completion: CompleteUpdate | undefined): TransactionEnd | undefined {
    if (this.#position === undefined) return completion
    const { log, offset } = this.#position
    const advance = log.advance(offset)
    return completion === undefined ? advance : { ...completion, advance }
  }

  async #handle(tx: Tx, stop: AbortController): Promise<Uint8Array | undefined> {
    const { clock, handlerTimeoutMs } = this.#services
    const abort = (reason: unknown): void => {
      this.#start.abort(reason)
      stop.abort(reason)
    }
    try {
      const context = contextOf(this.#start, tx)
      return (await bounded(() => this.#handler(context), { clock, handlerTimeoutMs, abort })) ?? undefined
    } catch (error) {
      this.#thrown = { error, tx }
      throw error
    }
  }
}

function lostMeanwhile(): OncemqError {
  return new OncemqError(
    'ONCEMQ_LEASE_LOST',
    'expected the transaction to begin within the lease, received it later; look at what the store waits for',
  )
}

function silent(what: string, boundMs: number, option: string): string {
  return (
    `expected the ${what} within ${boundMs} ms, received no answer; ` +
    `look at the store's load, take fewer messages at a time, or raise ${option}`
  )
}
