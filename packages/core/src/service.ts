import { ClaimManager } from './claims/claim-manager.ts'
import type { RunningClaim } from './claims/claim.ts'
import { startsOf } from './claims/spent-attempts.ts'
import type { Deduplicator, RecordScope } from './deduplicator.ts'
import type { Admission, HandleServices } from './delivery/handle.ts'
import { handle } from './delivery/handle.ts'
import { identify } from './delivery/identify.ts'
import type { Identity } from './delivery/identity.ts'
import { recordId, requireKey } from './delivery/identity.ts'
import { pastOf, requirePositions } from './delivery/log-order.ts'
import type {
  Asked,
  ClaimOutcome,
  Delivery,
  NotGranted,
  ProcessOutcome,
  Unprotected,
} from './delivery/outcome.ts'
import type { TakenLog } from './delivery/position.ts'
import { closed, usedAfterClose, withoutClaims, withoutLogs } from './delivery/refusals.ts'
import { Unrecorded } from './delivery/unrecorded.ts'
import { type OncemqError, received } from './errors.ts'
import { EventHub } from './observe/event-hub.ts'
import type { EventName, Events } from './observe/events.ts'
import { eventNames } from './observe/events.ts'
import type { Health } from './observe/health.ts'
import { healthOf } from './observe/health.ts'
import type { GivenOptions, Settings } from './options.ts'
import { settingsOf } from './options.ts'
import type { RunOptions, RunOutcome, Work } from './run.ts'
import { requireRun, runWork } from './run.ts'
import type { Store, StoredRecord, SweepingStore } from './store/contract.ts'
import { GuardedStore } from './store/guarded-store.ts'
import { closeStore, openStore } from './store/open-store.ts'
import { isAnswer, Outage } from './store/outage.ts'
import { SelfTests } from './store/self-test.ts'
import { sharedSecret } from './store/shared-secret.ts'
import { Sweeper } from './store/sweeper.ts'
import type { Handler } from './strategies/strategy.ts'
import { closeTimeoutMs, givenOptions, requireFunction, requireOneOf } from './validate.ts'

const OPEN_TIMEOUT_MS = 30_000
const SWEEP_TIMEOUT_MS = 30_000

/** The deduplicator: puts the parts together, and knows whether it is open. */
export class Service<Tx> implements Deduplicator<Tx> {
  readonly settings: Settings<Tx>
  readonly #events: EventHub
  readonly #store: GuardedStore
  readonly #outage: Outage
  readonly #claims: ClaimManager<Tx>
  readonly #sweeper: Sweeper
  readonly #selfTests: SelfTests
  readonly #handling: HandleServices<Tx>
  readonly #unrecorded: Unrecorded
  /** Whether a delivery whose key was asked for may run without a claim. */
  readonly #mayPass: boolean
  #opening: Promise<void> | undefined
  #isOpen = false
  /** When it was made, opened or closed, in milliseconds since 1970. */
  #changedAtMs: number
  /** How many deliveries wait for it to be open. They go on a moment after it is, and before any other. */
  #waitToAsk = 0
  #closing: Promise<void> | undefined
  #secret: Promise<Uint8Array> | undefined

  /** @throws OptionError for an option that is wrong. */
  constructor(options: GivenOptions<Tx>) {
    const settings = settingsOf(options)
    const { store, clock, random, storeTimeoutMs, sweepEveryMs } = settings
    this.settings = settings
    this.#changedAtMs = clock.nowMs()
    this.#events = new EventHub(settings.consumerGroup, settings.logger, clock)
    this.#store = new GuardedStore(store, storeTimeoutMs, clock, this.#events, () => this.#outage.succeeded())
    this.#outage = new Outage(() => this.#probe(), settings, this.#events)
    this.#claims = new ClaimManager(settings, this.#store, this.#outage, this.#events)
    this.#sweeper = new Sweeper(this.#sweepStep(), sweepEveryMs, clock, random)
    this.#mayPass = settings.onStoreDown === 'process' || settings.onConflict === 'process'
    this.#selfTests = new SelfTests(this.#store, settings as unknown as Settings<unknown>)
    const isStoreUp = async (): Promise<boolean> =>
      this.#outage.error === undefined && (await this.#selfTests.succeeds())
    this.#handling = { ...settings, events: this.#events, isStoreUp }
    this.#unrecorded = new Unrecorded({
      settings: settings as unknown as Settings<unknown>,
      events: this.#events,
      claims: this.#claims,
      ask: (identity, delivery) => this.#ask(identity, delivery),
    })
  }

  open(): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(usedAfterClose())
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined
      throw error
    })
    return this.#opening
  }

  claim(delivery: Delivery): Promise<ClaimOutcome<RunningClaim>> {
    if (this.#closing !== undefined) return Promise.resolve(closed())
    if (!this.settings.strategy.usesRecords) return Promise.reject(withoutClaims(this.settings.strategy.name))
    const identity = identify(delivery, this.settings, this.#events)
    if ('status' in identity) return this.#admit(delivery, identity)
    const asked = this.#ask(identity, delivery)
    if (this.#mayPass) return asked.then((outcome) => this.#admit(delivery, outcome))
    // Nothing is let pass.
    return asked as Promise<ClaimOutcome<RunningClaim>>
  }

  process(delivery: Delivery, handler: Handler<Tx>): Promise<ProcessOutcome> {
    const past = pastOf(delivery, this.#events)
    if (past !== undefined) return Promise.resolve(past)
    if (!this.settings.strategy.usesRecords) return this.#processRecordless(delivery, handler)
    return this.claim(delivery).then((outcome) => handle(outcome, handler, this.#handling, delivery))
  }

  async run<Value>(
    key: string,
    work: Work<Value, Tx>,
    options: RunOptions<Value> = {},
  ): Promise<RunOutcome<Value>> {
    requireKey(key, this.settings.onPlaceholderKey)
    const { body, message, signal } = requireRun(work, options)
    requirePositions(this.settings.strategy, false)
    // A kept result goes only to those who sent the same payload.
    const fingerprint = options.result !== undefined || this.settings.fingerprint
    const onNotKept = (error: unknown): void =>
      this.warn(`run: the value was not kept, since its codec threw ${received(error)}`)
    const delivery = { key, body, message, signal, fingerprint }
    return runWork(work, options, (handler) => this.process(delivery, handler), onNotKept)
  }

  async forget(key: string, scope: RecordScope = {}): Promise<void> {
    const id = this.#idOf(key, scope)
    await this.open()
    // Before and after: a completion that is on its way meanwhile is not to be remembered here.
    this.#claims.forget(id)
    await this.#store.forget(id)
    this.#claims.forget(id)
  }

  async inspect(key: string, scope: RecordScope = {}): Promise<StoredRecord | undefined> {
    const id = this.#idOf(key, scope)
    await this.open()
    const record = await this.#store.inspect(id)
    return record && { ...record, attempts: startsOf(record.attempts) }
  }

  get outage(): OncemqError | undefined {
    return this.#outage.error
  }

  health(): Health {
    const { lastError } = this.#events
    const [isOpen, isClosed] = [this.#isOpen, this.#closing !== undefined]
    const parts = { isOpen, isClosed, changedAtMs: this.#changedAtMs, lastError, opening: this.#waitToAsk }
    return healthOf({ ...parts, outage: this.#outage, load: this.#claims.load })
  }

  available(signal?: AbortSignal): Promise<boolean> {
    return this.#outage.available(signal)
  }

  on<Name extends EventName>(name: Name, listener: (event: Events[Name]) => void): () => void {
    requireOneOf('on', name, eventNames, 'correct the name')
    requireFunction('on', listener, 'a listener: (event) => { ... }')
    return this.#events.on(name, listener)
  }

  counts(): Readonly<Record<EventName, number>> {
    return this.#events.counts()
  }

  async takeLog(name: readonly string[], { fromBeginning = true } = {}): Promise<TakenLog> {
    const { strategy } = this.settings
    const request = { settings: this.settings, store: this.#store, fromBeginning }
    try {
      await this.open()
      if (strategy.takeLog === undefined) throw withoutLogs(strategy.name)
      return await strategy.takeLog(name, request)
    } catch (error) {
      throw this.#failedBefore(error)
    }
  }

  warn(message: string): void {
    this.#events.emit('warning', () => ({ message }))
  }

  deadLettered(event: Events['deadLettered']): void {
    this.#events.emit('deadLettered', () => event)
  }

  secret(): Promise<Uint8Array> {
    this.#secret ??= this.open()
      .then(() => sharedSecret(this.#store, this.settings))
      .catch((error: unknown) => {
        this.#secret = undefined
        throw this.#failedBefore(error)
      })
    return this.#secret
  }

  close(options: { timeoutMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(closeTimeoutMs(options))
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** A store that is down when the first message is delivered is an outage like any other. */
  #ask(identity: Identity, delivery: Delivery): Promise<Asked> {
    const mayAsk = (this.#isOpen && this.#waitToAsk === 0) || this.#outage.error !== undefined
    return mayAsk ? this.#claims.claim(identity, delivery) : this.#openThenAsk(identity, delivery)
  }

  async #openThenAsk(identity: Identity, delivery: Delivery): Promise<Asked> {
    this.#waitToAsk += 1
    const refused = await this.#openForDelivery()
    this.#waitToAsk -= 1
    return refused ?? this.#claims.claim(identity, delivery)
  }

  /** Answers why the store cannot be used, unless it is down for now. */
  async #openForDelivery(): Promise<NotGranted | undefined> {
    try {
      await this.open()
    } catch (thrown) {
      const error = this.#failedBefore(thrown)
      if (this.#closing === undefined && !error.retryable) return { status: 'store-refused', error }
    }
    return undefined
  }

  /** A store that fails at what deliveries need before they can ask it is down for them. */
  #failedBefore(thrown: unknown): OncemqError {
    const error = thrown as OncemqError
    if (this.#closing === undefined && error.retryable) this.#outage.failed(error)
    return error
  }

  /** No claim tells whether the store is up: the transactions of the handlers do. */
  async #processRecordless(delivery: Delivery, handler: Handler<Tx>): Promise<ProcessOutcome> {
    const admission = await this.#admitRecordless(delivery)
    const outcome = await handle(admission, handler, this.#handling, delivery)
    if (admission.status !== 'recordless') return outcome
    if (outcome.status === 'store-down' && !isAnswer(outcome.error)) this.#outage.failed(outcome.error)
    else this.#outage.succeeded()
    return outcome
  }

  async #admitRecordless(delivery: Delivery): Promise<Admission> {
    const { startsBefore = 0, signal, holdMs = this.settings.outageHoldMs } = delivery
    if (this.#closing !== undefined) return closed()
    const identity = identify(delivery, this.settings, this.#events)
    if ('status' in identity && identity.status !== 'unprotected') return identity
    if (!this.#isOpen && this.#outage.error === undefined) {
      const refused = await this.#openForDelivery()
      if (refused !== undefined) return refused
    }
    const { error } = this.#outage
    const mayStart = this.#outage.mayAsk() || (await this.#outage.recovery(holdMs, signal))
    if (!mayStart && error !== undefined) return { status: 'store-down', error }
    const known = 'status' in identity ? undefined : identity
    const claim = await this.#unrecorded.start(startsBefore + 1, delivery, known)
    return 'status' in claim ? claim : { status: 'recordless', claim }
  }

  /** Lets a delivery that has no claim run all the same, where the options say so. */
  #admit(delivery: Delivery, answer: Asked): Promise<ClaimOutcome<RunningClaim>> {
    const outcome = this.#passes(answer) ? storeDown(delivery) : answer
    if (outcome.status !== 'unprotected') return Promise.resolve(outcome)
    return this.#unrecorded.admit(outcome, delivery)
  }

  /** Whether a delivery runs although the store is down. */
  #passes({ status }: Asked): boolean {
    return status === 'store-down' && this.settings.onStoreDown === 'process' && this.#closing === undefined
  }

  async #open(): Promise<void> {
    const { store, acceptFindings } = this.settings
    await this.#store.within('open', OPEN_TIMEOUT_MS, () =>
      openStore(store, this, acceptFindings, this.#events),
    )
    // A server without transactions is noticed now, not by the first message.
    await this.#selfTests.whole()
    await this.#prepare()
    // Not before: a delivery that comes now must not overtake those that wait for this.
    this.#isOpen = true
    this.#changedAtMs = this.settings.clock.nowMs()
    this.#sweeper.start()
  }

  /** What the strategy needs of the user's own is missed at start, not by the first message. */
  async #prepare(): Promise<void> {
    const { store, strategy } = this.settings
    const { prepare } = strategy
    if (prepare === undefined) return
    const findings = await this.#store.within('prepare', OPEN_TIMEOUT_MS, () => prepare(store))
    for (const finding of findings) this.#events.emit('finding', () => finding)
  }

  #sweepStep(): ((limit: number) => Promise<number>) | undefined {
    const { store } = this.settings
    if (!isSweeping(store)) return undefined
    return (limit) => this.#store.within('sweep', SWEEP_TIMEOUT_MS, () => store.sweep(limit))
  }

  async #probe(): Promise<void> {
    if (!this.#isOpen) return this.open()
    await this.#selfTests.brief()
  }

  async #close(timeoutMs: number): Promise<void> {
    this.#sweeper.close()
    this.#changedAtMs = this.settings.clock.nowMs()
    if (!(await this.#claims.drain(timeoutMs))) {
      this.warn(`close: some handlers still run after ${timeoutMs} ms; their messages are delivered again`)
    }
    this.#outage.close()
    await this.#opening?.catch(() => undefined)
    await this.#store
      .within('close', OPEN_TIMEOUT_MS, () => closeStore(this.settings.store, this))
      .finally(() => this.#events.close())
  }

  #idOf(key: string, scope: RecordScope): string {
    const { consumerGroup, keyScope } = this.settings
    const { source } = givenOptions('scope', scope, new Set(['source']))
    requireKey(key, 'accept')
    return recordId(consumerGroup, key, { source: keyScope === 'source' ? source : undefined })
  }
}

function storeDown({ startsBefore = 0 }: Delivery): Unprotected {
  return { status: 'unprotected', reason: 'store-down', attempt: startsBefore + 1 }
}

function isSweeping(store: Store): store is SweepingStore {
  return 'sweep' in store && typeof store.sweep === 'function'
}
