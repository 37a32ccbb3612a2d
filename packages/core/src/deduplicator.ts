import { ClaimManager } from './claims/claim-manager.ts'
import { OncemqError, received } from './errors.ts'
import type { EventName, Events } from './observe/events.ts'
import { EventHub } from './observe/events.ts'
import type { Handler, HandlingSettings } from './delivery/handle.ts'
import { handle } from './delivery/handle.ts'
import { identify, unkeyed } from './delivery/identify.ts'
import { recordId, requireKey } from './delivery/identity.ts'
import type { Identity } from './delivery/identity.ts'
import { closeStore, openStore } from './store/open-store.ts'
import type { DeduplicatorOptions, Settings } from './options.ts'
import { settingsOf } from './options.ts'
import { Outage } from './store/outage.ts'
import type { ClaimOutcome, Delivery, ProcessOutcome } from './delivery/outcome.ts'
import type { RunOptions, RunOutcome, Work } from './run.ts'
import { runWork } from './run.ts'
import { selfTest } from './store/self-test.ts'
import type { Complete } from './store/self-test.ts'
import { GuardedStore } from './store/guarded-store.ts'
import type { Store, StoredRecord, SweepingStore, TransactionalStore } from './store/contract.ts'
import { Sweeper } from './store/sweeper.ts'
import { commitTogether } from './strategies/transactional.ts'
import { requireInteger } from './validate.ts'

const OPEN_TIMEOUT_MS = 30_000
const SWEEP_TIMEOUT_MS = 30_000
const DAY_MS = 86_400_000

/**
 * Runs the handler of each key once. Made by {@link createDeduplicator}; used through an adapter (`consume`,
 * `dedupChannel`), through {@link run} where there is no broker, or by adapters through {@link claim} and
 * {@link process}.
 */
export class Deduplicator<Tx = undefined> {
  /** The options as they are in force. */
  readonly settings: Settings<Tx>
  readonly #events: EventHub
  readonly #calls: GuardedStore
  readonly #outage: Outage
  readonly #claims: ClaimManager<Tx>
  readonly #sweeper: Sweeper
  readonly #handling: HandlingSettings<Tx>
  /** Whether a delivery whose key was asked for may run without a claim. */
  readonly #mayPass: boolean
  #opening: Promise<void> | undefined
  #isOpen = false
  #closing: Promise<void> | undefined

  /** @throws OptionError for an option that is wrong. */
  constructor(options: DeduplicatorOptions<Tx>) {
    const settings = settingsOf(options)
    const { store, clock, random, storeTimeoutMs, sweepEveryMs, attemptsMax } = settings
    this.settings = settings
    this.#events = new EventHub(settings.consumerGroup)
    this.#calls = new GuardedStore(store, storeTimeoutMs, clock, this.#events)
    this.#outage = new Outage(() => this.#probe(), clock, random, this.#events)
    this.#claims = new ClaimManager(settings, this.#calls, this.#outage, this.#events)
    this.#sweeper = new Sweeper(this.#sweepStep(), sweepEveryMs, clock, random)
    this.#mayPass = settings.onStoreDown === 'process' || settings.onConflict === 'process'
    this.#handling = {
      attemptsMax,
      events: this.#events,
      commit:
        settings.strategy === 'transactional'
          ? (claim, work) => commitTogether(store as TransactionalStore<Tx>, claim, work, settings)
          : undefined,
    }
  }

  /**
   * Opens the store, reports what its start-up checks found, and tests it. Idempotent. The first delivery
   * does it too; call it at start to see a wrong set-up before any message does.
   * @throws OncemqError when the store cannot be used.
   */
  open(): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(closed())
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined
      throw error
    })
    return this.#opening
  }

  /** Asks for a delivery's key, for adapters whose users settle by themselves. Never rejects. */
  claim(delivery: Delivery): Promise<ClaimOutcome> {
    const identity = identify(delivery, this.settings, this.#events)
    if ('status' in identity) return this.#admit(delivery, identity)
    const asked = this.#ask(identity, delivery.signal)
    return this.#mayPass ? asked.then((outcome) => this.#admit(delivery, outcome)) : asked
  }

  /** ClaimManager a delivery's key, runs the handler if it is granted, and records the end. Never rejects. */
  process(delivery: Delivery, handler: Handler<Tx>): Promise<ProcessOutcome> {
    return this.claim(delivery).then((outcome) => handle(outcome, handler, this.#handling))
  }

  /**
   * Runs `work` once per key, with no broker: a webhook, a cron job.
   * @throws what `work` throws, and OncemqError for a key that cannot be used or a store that is down.
   * @example
   * const outcome = await dedup.run('stripe:evt_1', () => ship(order))
   */
  async run<Value>(
    key: string,
    work: Work<Value, Tx>,
    options: RunOptions<Value> = {},
  ): Promise<RunOutcome<Value>> {
    requireKey(key)
    const { body, signal } = options
    const onNotKept = (error: unknown): void =>
      this.#events.emit('warning', () => ({
        message: `run: the value was not kept, since its codec threw ${received(error)}`,
      }))
    return runWork(work, options, (handler) => this.process({ key, body, signal }, handler), onNotKept)
  }

  /**
   * Forgets a key, so that its next message runs again. Other processes may answer from memory for `doneCacheMs`
   * more.
   * @throws OncemqError for a key that cannot be used or a store that is down.
   */
  async forget(key: string): Promise<void> {
    const id = this.#idOf(key)
    await this.open()
    await this.#calls.forget(id)
    this.#claims.forget(id)
  }

  /**
   * The record of a key, for operators.
   * @throws OncemqError for a key that cannot be used or a store that is down.
   */
  async inspect(key: string): Promise<StoredRecord | undefined> {
    const id = this.#idOf(key)
    await this.open()
    return this.#calls.inspect(id)
  }

  /** Why the store is down, `undefined` when it is up as far as is known. */
  get outage(): OncemqError | undefined {
    return this.#outage.error
  }

  /** Resolves with true as soon as the store is up, with false when `signal` aborts or at close. */
  async available(signal?: AbortSignal): Promise<boolean> {
    return this.#outage.recovered(DAY_MS, signal)
  }

  /** Calls `listener` at each event of that name; answers the function that removes it. */
  on<Name extends EventName>(name: Name, listener: (event: Events[Name]) => void): () => void {
    return this.#events.on(name, listener)
  }

  /** How often each event happened so far. */
  counts(): Readonly<Record<EventName, number>> {
    return this.#events.counts()
  }

  /**
   * Tells, as event `warning`, something that users should know and that has no outcome of its own. For
   * adapters.
   */
  warn(message: string): void {
    this.#events.emit('warning', () => ({ message }))
  }

  /**
   * Lets no further delivery in, waits until the handlers that run have ended (up to `timeoutMs`, 30000 by
   * default), and closes the store if it is the last one to use it. Idempotent. What has not ended by then
   * loses nothing: its lease runs out and its message comes again.
   */
  close({ timeoutMs = 30_000 }: { timeoutMs?: number } = {}): Promise<void> {
    requireInteger('timeoutMs', timeoutMs, 0, DAY_MS)
    this.#closing ??= this.#close(timeoutMs)
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** A store that is down when the first message comes is an outage like any other. */
  #ask(identity: Identity, signal: AbortSignal | undefined): Promise<ClaimOutcome> {
    if (this.#isOpen || this.#outage.error !== undefined) return this.#claims.claim(identity, signal)
    return this.#openOrFail().then(() => this.#claims.claim(identity, signal))
  }

  /** Lets a delivery that has no claim run all the same, where the options say so. */
  async #admit({ key, signal }: Delivery, answer: ClaimOutcome): Promise<ClaimOutcome> {
    const outcome = this.#passes(answer) ? storeUnavailable : answer
    if (outcome.status !== 'unprotected') return outcome
    this.#events.emit('unprotected', () => ({ key, reason: outcome.reason }))
    if (this.settings.strategy === 'lease') return outcome
    return this.#claims.claim(unkeyed(this.settings), signal)
  }

  /** Whether a delivery runs although the store is down. */
  #passes({ status }: ClaimOutcome): boolean {
    return status === 'unavailable' && this.settings.onStoreDown === 'process' && this.#closing === undefined
  }

  async #open(): Promise<void> {
    const { store, acceptFindings, random } = this.settings
    await this.#calls.within('open', OPEN_TIMEOUT_MS, () =>
      openStore(store, this, acceptFindings, this.#events),
    )
    await selfTest(this.#calls, store.name, random, this.#completeAsHandlersDo())
    // Not before: a delivery that comes now must not overtake those that wait for this.
    this.#isOpen = true
    this.#sweeper.start()
  }

  /** A server without transactions is noticed at start, not by the first message. */
  #completeAsHandlersDo(): Complete | undefined {
    const { store, strategy } = this.settings
    if (strategy === 'lease') return undefined
    return (completion) =>
      this.#calls.within('transaction', OPEN_TIMEOUT_MS, () =>
        (store as TransactionalStore<Tx>).transaction(async () => completion),
      )
  }

  #sweepStep(): ((limit: number) => Promise<number>) | undefined {
    const { store } = this.settings
    if (!isSweeping(store)) return undefined
    return (limit) => this.#calls.within('sweep', SWEEP_TIMEOUT_MS, () => store.sweep(limit))
  }

  async #openOrFail(): Promise<void> {
    try {
      await this.open()
    } catch (error) {
      if (this.#closing === undefined) this.#outage.fail(error as OncemqError)
    }
  }

  async #probe(): Promise<void> {
    if (!this.#isOpen) return this.open()
    await selfTest(this.#calls, this.settings.store.name, this.settings.random)
  }

  async #close(timeoutMs: number): Promise<void> {
    this.#sweeper.close()
    if (!(await this.#claims.drain(timeoutMs))) {
      this.#events.emit('warning', () => ({
        message: `close: some handlers still run after ${timeoutMs} ms`,
      }))
    }
    this.#outage.close()
    await this.#opening?.catch(() => undefined)
    await this.#calls.within('close', OPEN_TIMEOUT_MS, () => closeStore(this.settings.store, this))
  }

  #idOf(key: string): string {
    requireKey(key)
    return recordId(this.settings.consumerGroup, key)
  }
}

/**
 * Makes a deduplicator. No I/O happens before its first use or {@link Deduplicator.open}.
 * @throws OptionError for an option that is wrong.
 * @example
 * const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'billing' })
 */
export function createDeduplicator<Tx>(
  options: DeduplicatorOptions<Tx> & { strategy: 'transactional'; store: TransactionalStore<Tx> },
): Deduplicator<Tx>
export function createDeduplicator(options: DeduplicatorOptions & { strategy?: 'lease' }): Deduplicator
export function createDeduplicator<Tx>(options: DeduplicatorOptions<Tx>): Deduplicator<Tx> {
  return new Deduplicator(options)
}

const storeUnavailable = Object.freeze({ status: 'unprotected', reason: 'store-unavailable' } as const)

function isSweeping(store: Store): store is SweepingStore {
  return 'sweep' in store && typeof store.sweep === 'function'
}

function closed(): OncemqError {
  return new OncemqError(
    'ONCEMQ_CLOSED',
    'expected an open deduplicator, received a closed one; make a new one',
  )
}
