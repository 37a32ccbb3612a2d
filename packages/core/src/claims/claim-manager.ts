import { setMaxListeners } from 'node:events'

import type { Identity } from '../delivery/identity.ts'
import type { ClaimOutcome, Delivery } from '../delivery/outcome.ts'
import type { OncemqError } from '../errors.ts'
import { isOncemqError } from '../errors.ts'
import type { EventHub } from '../observe/event-hub.ts'
import type { Settings } from '../options.ts'
import type { ClaimAnswer, ClaimUpdate, RenewUpdate, Store, UpdateAnswer } from '../store/contract.ts'
import type { GuardedStore } from '../store/guarded-store.ts'
import type { Outage } from '../store/outage.ts'
import { pause } from '../time/condition.ts'
import type { BatchFaults, StoreLoad } from './batcher.ts'
import { Batcher } from './batcher.ts'
import type { RunningClaim } from './claim.ts'
import { Isolation } from './isolation.ts'
import { Lease, LeaseKeeper } from './lease-keeper.ts'
import { LocalKeys } from './local-keys.ts'
import type { PendingClaimServices } from './pending-claim.ts'
import { PendingClaim } from './pending-claim.ts'
import { Waiters } from './waiters.ts'

const BACKGROUND_MAX_MS = 3_600_000
const REFUSED_AGAIN_MS = 10_000

/** All claims of a deduplicator, with what they share: see {@link PendingClaim} for the way of one. */
export class ClaimManager<Tx> {
  /** Handlers that run, and those that shall run alone. */
  readonly isolation: Isolation
  readonly #services: PendingClaimServices
  readonly #keys: LocalKeys
  readonly #keeper: LeaseKeeper
  readonly #closing = new AbortController()
  readonly #stopSignals = new WeakMap<AbortSignal, AbortSignal>()

  constructor(settings: Settings<Tx>, store: GuardedStore, outage: Outage, events: EventHub) {
    const { attemptsMax, clock, doneCacheMax, doneCacheMs, leaseMs, random, retentionMs } = settings
    const load: StoreLoad = { underWay: 0 }
    this.isolation = new Isolation(clock, leaseMs)
    this.#keys = new LocalKeys({ keysMax: doneCacheMax, ttlMs: Math.min(doneCacheMs, retentionMs) }, clock)
    this.#keeper = keeperOf(settings, store, events, load)
    this.#services = {
      settings: settings as unknown as Settings<unknown>,
      retentionMs,
      attemptsMax,
      // Read when it is needed: a store may know it only once it is open.
      renewsInTransaction: () => settings.store.guarantees.renewsInTransaction,
      clock,
      outage,
      events,
      keeper: this.#keeper,
      isolation: this.isolation,
      keys: this.#keys,
      waiters: new Waiters(settings, clock, random),
      claims: batcherOf<Lease, ClaimAnswer>(settings, (batch) => this.#sendClaims(store, batch), load),
      updates: batcherOf<ClaimUpdate, UpdateAnswer>(settings, (batch) => store.update(batch), load),
      closing: this.#closing.signal,
      stopSignal: (delivery) => this.#stopSignal(delivery),
      abandon: (lease) => this.#abandon(lease),
      forgive: (identity) => this.#forgive(identity),
    }
    setMaxListeners(0, this.#closing.signal)
  }

  /** Asks for the key until it is granted, done, or waiting comes to its bound. Never rejects. */
  claim(identity: Identity, delivery: Delivery): Promise<ClaimOutcome<RunningClaim>> {
    return new Promise((resolve) => new PendingClaim(this.#services, identity, delivery, resolve).begin())
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
    await this.isolation.idle(untilMs - clock.monotonicMs())
    this.#keeper.close()
    return this.#keys.inFlight === 0 && this.isolation.running === 0
  }

  /**
   * A lease is trusted from the moment before its claim is sent, which is never later than its start in the
   * store.
   */
  #sendClaims(store: GuardedStore, batch: readonly Lease[]): Promise<readonly ClaimAnswer[]> {
    const sentAtMs = this.#services.clock.monotonicMs()
    for (const lease of batch) this.#keeper.start(lease, sentAtMs)
    return store.claim(batch)
  }

  /**
   * A claim whose answer never came may have been applied, and would count as a start that never was. To ask
   * again with the same claim id tells, and does no harm.
   */
  async #abandon(lease: Lease): Promise<void> {
    await this.#untilTold(this.#giveBack(lease, (granted) => granted - 1))
  }

  /** Nobody waits for a store that is down: it is told when it is back. */
  async #forgive(identity: Identity): Promise<boolean> {
    const lease = new Lease(identity, this.#services.settings.random.claimId(), this.#services.settings)
    const tell = this.#giveBack(lease, () => 0)
    try {
      return await tell()
    } catch (error) {
      if ((error as OncemqError).retryable) this.#services.outage.failed(error as OncemqError)
      void this.#untilTold(tell)
      return false
    }
  }

  /** Claims and releases. What has been answered is not done again when the rest is repeated. */
  #giveBack(lease: Lease, attemptsOf: (granted: number) => number): () => Promise<boolean> {
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

  /** Repeats what may be repeated until the store has answered it. Never rejects. */
  async #untilTold(tell: () => Promise<unknown>): Promise<void> {
    const { clock, closing, outage } = this.#services
    const untilMs = clock.monotonicMs() + BACKGROUND_MAX_MS
    for (;;) {
      const leftMs = untilMs - clock.monotonicMs()
      if (leftMs <= 0 || !(await outage.recovery(leftMs, closing))) return
      try {
        await tell()
        return
      } catch (error) {
        if (closing.aborted) return
        // What is refused now may be granted again, as rights are.
        if ((error as OncemqError).retryable) outage.failed(error as OncemqError)
        else await pause(clock, REFUSED_AGAIN_MS, closing)
      }
    }
  }

  #release({ id, claimId }: Lease, attempts: number): Promise<UpdateAnswer> {
    const { retentionMs, updates } = this.#services
    return updates.ask({ op: 'release', id, claimId, retentionMs, attempts })
  }

  /** One for all deliveries of a consumer: sources remember each signal that was ever made of them. */
  #stopSignal({ signal, place }: Delivery): AbortSignal {
    const base = signal === undefined ? this.#closing.signal : this.#joined(signal)
    return place?.signal === undefined ? base : AbortSignal.any([base, place.signal])
  }

  #joined(signal: AbortSignal): AbortSignal {
    const known = this.#stopSignals.get(signal)
    if (known !== undefined) return known
    const made = AbortSignal.any([signal, this.#closing.signal])
    setMaxListeners(0, made)
    this.#stopSignals.set(signal, made)
    return made
  }
}

type KeeperSettings = Pick<Settings<unknown>, 'clock' | 'leaseMs' | 'retentionMs'> & { readonly store: Store }

/** Renewals have a batcher of their own: a key's completion must not meet its renewal in one batch. */
function keeperOf(
  settings: KeeperSettings,
  store: GuardedStore,
  events: EventHub,
  load: StoreLoad,
): LeaseKeeper {
  const renewals = batcherOf<RenewUpdate, UpdateAnswer>(settings, (batch) => store.update(batch), load)
  const tellLost = ({ leaseMs, label }: Lease): void =>
    events.emit('warning', () => ({
      message: `a lease of ${leaseMs} ms was lost${label === undefined ? '' : ` by '${label}'`}`,
    }))
  return new LeaseKeeper(settings, settings.clock, (update) => renewals.ask(update), tellLost)
}

const faults: BatchFaults = Object.freeze({
  isOneEntrys: (error: unknown) => isOncemqError(error) && error.code === 'ONCEMQ_STORE_REFUSED',
  isTooSlow: (error: unknown) => isOncemqError(error) && error.code === 'ONCEMQ_STORE_TIMEOUT',
})

function batcherOf<Request, Answer>(
  { store }: Pick<KeeperSettings, 'store'>,
  send: (batch: readonly Request[]) => Promise<readonly Answer[]>,
  load: StoreLoad,
): Batcher<Request, Answer> {
  return new Batcher(send, store.batching, faults, load)
}
