import type { Identity } from '../delivery/identity.ts'
import type { Asked, Delivery, NotGranted } from '../delivery/outcome.ts'
import { closed } from '../delivery/refusals.ts'
import type { OncemqError } from '../errors.ts'
import { isOncemqError } from '../errors.ts'
import type { EventHub } from '../observe/event-hub.ts'
import type { Settings } from '../options.ts'
import type {
  ClaimAnswer,
  ClaimOptions,
  ClaimUpdate,
  RenewUpdate,
  Store,
  UpdateAnswer,
} from '../store/contract.ts'
import type { GuardedStore } from '../store/guarded-store.ts'
import type { Outage } from '../store/outage.ts'
import { pause } from '../time/condition.ts'
import { JoinedSignals } from '../time/joined-signals.ts'
import type { BatchFaults, StoreLoad } from './batcher.ts'
import { mayAskAgain } from './ask-again.ts'
import { Batcher } from './batcher.ts'
import type { TurnWays } from './isolation.ts'
import { Isolation } from './isolation.ts'
import { Lease, LeaseKeeper } from './lease-keeper.ts'
import type { LocalKey } from './local-keys.ts'
import { LocalKeys } from './local-keys.ts'
import type { PendingClaimServices } from './pending-claim.ts'
import { PendingClaim } from './pending-claim.ts'
import type { LastAttempt } from './spent-keys.ts'
import { SpentKeys } from './spent-keys.ts'
import { Unclaimed } from './unclaimed.ts'
import { Waiters } from './waiters.ts'

/** Before what may not start now is looked at again. */
const RETRY_AFTER_MS = 1000

/** All claims of a deduplicator, with what they share: see {@link PendingClaim} for the way of one. */
export class ClaimManager<Tx> {
  /** Handlers that run, and those that shall run alone. */
  readonly #isolation: Isolation
  readonly #services: PendingClaimServices
  readonly #keys: LocalKeys
  readonly #spent = new SpentKeys()
  readonly #keeper: LeaseKeeper
  readonly #closing = new AbortController()
  readonly #claimOptions: ClaimOptions
  readonly #signals = new JoinedSignals(this.#closing.signal)

  constructor(settings: Settings<Tx>, store: GuardedStore, outage: Outage, events: EventHub) {
    const { clock, doneCacheMax, doneCacheMs, leaseMs, random, retentionMs } = settings
    const load: StoreLoad = { underWay: 0 }
    this.#claimOptions = Object.freeze({ isDurable: settings.strategy.needsDurableClaims })
    // A turn has the calls around its handler too: a claim, a completion, and before it a release.
    this.#isolation = new Isolation(clock, leaseMs + 3 * settings.storeTimeoutMs)
    this.#keys = new LocalKeys({ keysMax: doneCacheMax, ttlMs: Math.min(doneCacheMs, retentionMs) }, clock)
    this.#keeper = keeperOf(settings, store, events, load)
    this.#services = {
      settings: settings as unknown as Settings<unknown>,
      retentionMs,
      // Read when it is needed: a store may know it only once it is open.
      renewsInTransaction: () => settings.store.guarantees.renewsInTransaction,
      clock,
      outage,
      events,
      keeper: this.#keeper,
      isolation: this.#isolation,
      keys: this.#keys,
      spent: this.#spent,
      waiters: new Waiters(settings, clock, random),
      claims: batcherOf<Lease, ClaimAnswer>(settings, (batch) => this.#sendClaims(store, batch), load),
      updates: batcherOf<ClaimUpdate, UpdateAnswer>(settings, (batch) => store.update(batch), load),
      closing: this.#closing.signal,
      stopSignal: (delivery) => this.#stopSignal(delivery),
      abandon: (lease) => this.#abandon(lease),
      forgive: (identity, last) => this.#forgive(identity, last),
    }
  }

  /** Asks for the key until it is granted, done, or waiting comes to its bound. Never rejects. */
  claim(identity: Identity, delivery: Delivery): Promise<Asked> {
    return new Promise((resolve) => new PendingClaim(this.#services, identity, delivery, resolve).begin())
  }

  /**
   * A start that no record counts, but the broker. It takes its turn as one with a claim does: when it may be
   * what ended its process, it is alone. Never rejects.
   */
  async unclaimed(
    attempt: number,
    identity: Identity | undefined,
    delivery: Delivery,
  ): Promise<Unclaimed | NotGranted> {
    const { closing, settings } = this.#services
    const ways = { signal: this.#stopSignal(delivery), place: delivery.place }
    const isSuspect = attempt > settings.attemptsMax
    const endTurn = isSuspect ? await this.#isolation.alone(ways) : undefined
    const mayStart = isSuspect ? endTurn !== undefined : await this.#mayShare(ways)
    if (!mayStart || closing.aborted) {
      endTurn?.()
      return closing.aborted ? closed() : { status: 'busy', retryAfterMs: RETRY_AFTER_MS }
    }
    this.#isolation.started()
    return new Unclaimed(attempt, identity, () => {
      this.#isolation.ended()
      endTurn?.()
    })
  }

  async #mayShare(ways: TurnWays): Promise<boolean> {
    while (this.#isolation.isReserved) {
      // A suspect that takes longer than its bound holds nobody up any more.
      if (!(await this.#isolation.shared(ways))) return !ways.signal?.aborted
    }
    return true
  }

  /** What is under way, for a look at its health. */
  get load(): { inFlight: number; longestMs: number; waiting: number } {
    const { keeper, waiters } = this.#services
    return { inFlight: this.#isolation.running, longestMs: keeper.longestMs, waiting: waiters.count }
  }

  /** Aborts at close. */
  get closing(): AbortSignal {
    return this.#closing.signal
  }

  /** Removes what is remembered of a key here. */
  forget(id: string): void {
    this.#keys.forget(id)
  }

  /** Lets no further delivery in, and waits until those inside have ended. Answers whether all did. */
  async drain(timeoutMs: number): Promise<boolean> {
    const { clock } = this.#services
    const untilMs = clock.monotonicMs() + timeoutMs
    this.#closing.abort()
    if (this.#keys.inFlight > 0) await this.#keys.idle.wait(clock, timeoutMs)
    await this.#isolation.idle(untilMs - clock.monotonicMs())
    this.#keeper.close()
    return this.#keys.inFlight === 0 && this.#isolation.running === 0
  }

  /**
   * A lease is trusted from the moment before its claim is sent, which is never later than its start in the
   * store.
   */
  #sendClaims(store: GuardedStore, batch: readonly Lease[]): Promise<readonly ClaimAnswer[]> {
    const sentAtMs = this.#services.clock.monotonicMs()
    for (const lease of batch) this.#keeper.start(lease, sentAtMs)
    return store.claim(batch, this.#claimOptions)
  }

  /**
   * A claim whose answer never came may have been applied, and would count as a start that never was. To ask
   * again with the same claim id tells, and does no harm. Once the record is forgotten there is nothing to
   * say.
   */
  async #abandon(lease: Lease): Promise<void> {
    const { clock, closing, outage, retentionMs } = this.#services
    const untilMs = clock.monotonicMs() + retentionMs
    const giveBack = this.#givingBack(lease, (granted) => granted - 1)
    let mayAsk = await outage.recovery(retentionMs, closing)
    while (mayAsk) {
      try {
        await giveBack()
        return
      } catch (thrown) {
        const error = thrown as OncemqError
        mayAsk = error.retryable && (await mayAskAgain(error, untilMs, this.#services, closing))
      }
    }
  }

  /** Whoever asks waits for two calls of the store; one that is down for longer is asked when it is back. */
  async #forgive(identity: Identity, last: LastAttempt | undefined): Promise<boolean> {
    const { clock, settings } = this.#services
    if (last !== undefined) this.#spent.forgiven(identity, last)
    const waitMs = Math.max(settings.outageHoldMs, 2 * settings.storeTimeoutMs)
    const answered = new AbortController()
    const forgiven = this.#forgiveLater(identity, clock.monotonicMs() + settings.retentionMs)
    const waited = pause(clock, waitMs, answered.signal).then(() => false)
    // Else the timer would keep the process alive.
    return Promise.race([forgiven, waited]).finally(() => answered.abort())
  }

  async #forgiveLater(identity: Identity, untilMs: number): Promise<boolean> {
    const { settings } = this.#services
    const localKey = await this.#enter(identity.id, untilMs)
    if (localKey === undefined) return false
    try {
      return await this.#resetAttempts(new Lease(identity, settings.random.claimId(), settings), untilMs)
    } finally {
      this.#keys.leave(localKey)
    }
  }

  /** Beside a delivery of this process nothing is asked: an id must not stand in a batch twice. */
  async #enter(id: string, untilMs: number): Promise<LocalKey | undefined> {
    const { clock } = this.#services
    for (let known = this.#keys.get(id); known?.isInFlight === true; known = this.#keys.get(id)) {
      if ((await known.ended(clock, untilMs - clock.monotonicMs(), undefined)) === undefined) return undefined
    }
    return this.#keys.enter(id)
  }

  /** Claims and releases. What has been answered is not done again when the rest is repeated. */
  #givingBack(lease: Lease, attemptsOf: (granted: number) => number): () => Promise<boolean> {
    let attempts: number | undefined
    return async () => {
      if (attempts === undefined) {
        const answer = await this.#services.claims.ask(lease)
        if (answer.status !== 'granted') return false
        attempts = attemptsOf(answer.attempt)
      }
      return (await this.#release(lease, attempts)) === 'ok'
    }
  }

  async #resetAttempts(lease: Lease, untilMs: number): Promise<boolean> {
    const giveBack = this.#givingBack(lease, () => 0)
    for (;;) {
      try {
        return await giveBack()
      } catch (thrown) {
        const error = thrown as OncemqError
        if (!error.retryable || !(await mayAskAgain(error, untilMs, this.#services, this.#closing.signal)))
          return false
      }
    }
  }

  #release({ id, claimId }: Lease, attempts: number): Promise<UpdateAnswer> {
    const { retentionMs, updates } = this.#services
    return updates.ask({ op: 'release', id, claimId, retentionMs, attempts })
  }

  #stopSignal({ signal, place }: Delivery): AbortSignal {
    const base = this.#signals.with(signal)
    return place?.signal === undefined ? base : AbortSignal.any([base, place.signal])
  }
}

type KeeperSettings = Pick<Settings<unknown>, 'clock' | 'leaseMs' | 'retentionMs'> & { readonly store: Store }

/** Renewals have their own batcher: a key's completion must not meet its renewal in one batch. */
function keeperOf(
  settings: KeeperSettings,
  store: GuardedStore,
  events: EventHub,
  load: StoreLoad,
): LeaseKeeper {
  const renewals = batcherOf<RenewUpdate, UpdateAnswer>(settings, (batch) => store.update(batch), load)
  // Of which key says the event `lost`: a key is data, and has no place in a log.
  const tellLost = ({ leaseMs }: Lease): void =>
    events.emit('warning', () => ({
      message:
        `a lease of ${leaseMs} ms was lost while its handler ran, and another worker may have begun; ` +
        `look for what blocks the event loop or the store, or raise leaseMs`,
    }))
  const tellSlow = (afterMs: number): void =>
    events.emit('warning', () => ({
      message:
        `a message has been worked on for more than ${afterMs / 1000} s, and its key is kept from others; ` +
        `look for what its handler waits for, or for a missing ack, or set handlerTimeoutMs`,
    }))
  return new LeaseKeeper(settings, settings.clock, (update) => renewals.ask(update), tellLost, tellSlow)
}

const faults: BatchFaults = Object.freeze({
  isOneEntrys: (error: unknown) => isOncemqError(error) && error.code === 'ONCEMQ_STORE_REFUSED',
  isTooSlow: (error: unknown) => isOncemqError(error) && error.code === 'ONCEMQ_STORE_TIMEOUT',
})

function batcherOf<Request, Answer>(
  { store, clock }: Pick<KeeperSettings, 'store' | 'clock'>,
  send: (batch: readonly Request[]) => Promise<readonly Answer[]>,
  load: StoreLoad,
): Batcher<Request, Answer> {
  return new Batcher(send, store.batching, faults, load, clock)
}
