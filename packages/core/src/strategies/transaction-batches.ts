import { StoreError } from '../errors.ts'
import type { BatchingStore, TransactionMember } from '../store/batch-contract.ts'
import type { Store, TransactionEnd, UpdateAnswer } from '../store/contract.ts'
import type { Clock, Timer } from '../time/clock.ts'
import { deferred } from '../time/deferred.ts'
import type { Deferred } from '../time/deferred.ts'

/** The part of a lease after which a batch takes no more: what it has completed stays locked till its end. */
const LEASE_SHARE = 1 / 3

/** So many wait for each batch under way when a further one begins: its commit is paid for by all of it. */
const FURTHER_MIN = 8

export interface BatchSettings {
  readonly store: Store
  readonly clock: Clock
  readonly leaseMs: number
  readonly storeTimeoutMs: number
}

/**
 * Handlers that wait for a transaction, and are run in those of others: a batch takes what waits when it
 * begins, and what comes while it runs, up to its bounds. It waits for nobody. One that is alone is no batch.
 */
export class TransactionBatches<Tx> {
  readonly #settings: BatchSettings
  readonly #max: number
  readonly #waiting = new Set<TransactionMember<Tx>>()
  #running = 0

  constructor(settings: BatchSettings, max: number) {
    this.#settings = settings
    this.#max = max
  }

  /** As the store's own, except that nobody has to bound what follows the end of `work`. */
  transaction(
    work: (tx: Tx) => Promise<TransactionEnd | undefined>,
    signal: AbortSignal,
  ): Promise<UpdateAnswer> {
    return new Promise((resolve, reject) => {
      const member = { work, signal, resolve, reject }
      const leave = (): void => {
        if (this.#waiting.delete(member)) reject(signal.reason as Error)
      }
      signal.addEventListener('abort', leave, { once: true })
      this.#waiting.add(member)
      this.#start()
    })
  }

  #start(): void {
    if (!this.#mayStart()) return
    this.#running += 1
    // A microtask later, so that whatever is asked for at the same moment shares the first batch.
    void Promise.resolve()
      .then(() => this.#run())
      .finally(() => {
        this.#running -= 1
        if (this.#waiting.size > 0) this.#start()
      })
  }

  /** A further one begins where more waits than those under way come to soon. */
  #mayStart(): boolean {
    const { batchesInFlightMax, transactionsInFlightMax = batchesInFlightMax } = this.#settings.store.batching
    if (this.#running < Math.min(batchesInFlightMax, transactionsInFlightMax)) return true
    return this.#running < transactionsInFlightMax && this.#waiting.size >= this.#running * FURTHER_MIN
  }

  async #run(): Promise<void> {
    const batch: Batch<Tx> = new Batch<Tx>(this.#settings, () => this.#next(batch))
    try {
      if (this.#waiting.size > 1) await batch.until(this.#store.transactions(() => batch.next()))
      else await this.#runAlone(batch)
    } catch (error) {
      // A store that is closed, or has no connection in time: what waits would learn the same.
      for (const member of this.#waiting) member.reject(error)
      this.#waiting.clear()
    }
  }

  async #runAlone(batch: Batch<Tx>): Promise<void> {
    const member = batch.next()
    if (member === undefined) return batch.until(Promise.resolve())
    const { work, signal, resolve, reject } = member
    return batch.until(this.#store.transaction(work, signal).then(resolve, reject))
  }

  #next(batch: Batch<Tx>): TransactionMember<Tx> | undefined {
    const [member] = this.#waiting
    if (member === undefined || batch.size === this.#max) return undefined
    this.#waiting.delete(member)
    return member
  }

  get #store(): BatchingStore<Tx> {
    return this.#settings.store as Store as BatchingStore<Tx>
  }
}

/** Bounds what the store does of a batch: the time in which none of its handlers runs. */
class Batch<Tx> {
  readonly #settings: BatchSettings
  readonly #take: () => TransactionMember<Tx> | undefined
  readonly #members = new Set<TransactionMember<Tx>>()
  readonly #silent: Deferred<void> = deferred()
  #timer: Timer | undefined
  #untilMs = Infinity
  #isOver = false

  constructor(settings: BatchSettings, take: () => TransactionMember<Tx> | undefined) {
    this.#settings = settings
    this.#take = take
    // To begin may take a lease, as for each handler alone.
    this.#expect(settings.leaseMs)
  }

  /** How many it has taken. */
  get size(): number {
    return this.#members.size
  }

  next(): TransactionMember<Tx> | undefined {
    const { clock, leaseMs, storeTimeoutMs } = this.#settings
    if (this.#isOver || clock.monotonicMs() >= this.#untilMs) return undefined
    const member = this.#take()
    if (member === undefined) return undefined
    if (this.size === 0) this.#untilMs = clock.monotonicMs() + leaseMs * LEASE_SHARE
    this.#members.add(member)
    const work = async (tx: Tx): Promise<TransactionEnd | undefined> => {
      this.#timer?.cancel()
      try {
        return await member.work(tx)
      } finally {
        this.#expect(storeTimeoutMs)
      }
    }
    return { ...member, work }
  }

  /** Resolves with `run`, or when the store was silent for too long. Rejects as `run` does. */
  async until(run: Promise<unknown>): Promise<void> {
    try {
      await Promise.race([run, this.#silent.promise])
    } catch (error) {
      this.#fail(error)
      throw error
    } finally {
      this.#isOver = true
      this.#timer?.cancel()
    }
  }

  #expect(boundMs: number): void {
    if (this.#isOver) return
    this.#timer?.cancel()
    this.#timer = this.#settings.clock.after(boundMs, () => {
      this.#isOver = true
      this.#fail(silent(boundMs))
      this.#silent.resolve()
    })
  }

  /** Those that have been answered stay so. */
  #fail(error: unknown): void {
    for (const member of this.#members) member.reject(error)
  }
}

function silent(boundMs: number): StoreError {
  return new StoreError(
    'ONCEMQ_COMMIT_UNKNOWN',
    `expected an answer to a batch of transactions within ${boundMs} ms after a handler, received none; ` +
      `look at the store's load, give a smaller batch, or raise storeTimeoutMs`,
  )
}
