import { setMaxListeners } from 'node:events'

import { PendingClaim } from './pending-claim.ts'
import type { PendingClaimServices } from './pending-claim.ts'
import { Batcher } from './batcher.ts'
import type { StoreLoad } from './batcher.ts'
import { Waiters } from './waiters.ts'
import { isOncemqError } from '../errors.ts'
import type { EventHub } from '../observe/events.ts'
import type { Identity } from '../delivery/identity.ts'
import { LocalKeys } from './local-keys.ts'
import type { Lease } from './lease-keeper.ts'
import { LeaseKeeper } from './lease-keeper.ts'
import type { Settings } from '../options.ts'
import type { Outage } from '../store/outage.ts'
import type { ClaimOutcome } from '../delivery/outcome.ts'
import type { GuardedStore } from '../store/guarded-store.ts'
import type { ClaimAnswer, ClaimUpdate, RenewUpdate, UpdateAnswer } from '../store/contract.ts'

/** All claims of a deduplicator, with what they share: see {@link PendingClaim} for the way of one. */
export class ClaimManager<Tx> {
  readonly #home: PendingClaimServices
  readonly #keys: LocalKeys
  readonly #keeper: LeaseKeeper
  readonly #closing = new AbortController()
  readonly #stopSignals = new WeakMap<AbortSignal, AbortSignal>()

  constructor(settings: Settings<Tx>, calls: GuardedStore, outage: Outage, events: EventHub) {
    const { clock, random, doneCacheMax, doneCacheMs, retentionMs, store } = settings
    this.#keys = new LocalKeys({ keysMax: doneCacheMax, ttlMs: Math.min(doneCacheMs, retentionMs) }, clock)
    const load: StoreLoad = { underWay: 0 }
    this.#keeper = keeperOf(settings, calls, events, load)
    this.#home = {
      settings: settings as Settings<unknown>,
      retentionMs,
      renewsInTransaction: store.guarantees.renewsInTransaction,
      clock,
      outage,
      events,
      keeper: this.#keeper,
      keys: this.#keys,
      busyWait: new Waiters(settings, clock, random),
      lane: laneTo<Lease, ClaimAnswer>(settings, (batch) => this.#sendClaims(calls, batch), load),
      updates: laneTo<ClaimUpdate, UpdateAnswer>(settings, (batch) => calls.update(batch), load),
      closing: this.#closing.signal,
      stopSignal: (signal) => this.#stopSignal(signal),
    }
    setMaxListeners(0, this.#closing.signal)
  }

  /** Asks for the key until it is granted, done, or waiting comes to its bound. Never rejects. */
  claim(identity: Identity, signal: AbortSignal | undefined): Promise<ClaimOutcome> {
    return new Promise((resolve) => new PendingClaim(this.#home, identity, signal, resolve).begin())
  }

  /** Removes what is remembered of a key here. */
  forget(id: string): void {
    this.#keys.forget(id)
  }

  /** Lets no further delivery in, and waits until those inside have ended. Answers whether all did. */
  async drain(timeoutMs: number): Promise<boolean> {
    this.#closing.abort()
    if (this.#keys.inFlight > 0) await this.#keys.idle.wait(this.#home.clock, timeoutMs)
    this.#keeper.close()
    return this.#keys.inFlight === 0
  }

  /**
   * A lease is trusted from the moment before its claim is sent, which is never later than its start in the
   * store.
   */
  #sendClaims(calls: GuardedStore, batch: readonly Lease[]): Promise<readonly ClaimAnswer[]> {
    const sentAtMs = this.#home.clock.monotonicMs()
    for (const lease of batch) this.#keeper.start(lease, sentAtMs)
    return calls.claim(batch)
  }

  /** One for all deliveries of a consumer: sources remember each signal that was ever made of them. */
  #stopSignal(signal: AbortSignal | undefined): AbortSignal {
    if (signal === undefined) return this.#closing.signal
    const known = this.#stopSignals.get(signal)
    if (known !== undefined) return known
    const made = AbortSignal.any([signal, this.#closing.signal])
    setMaxListeners(0, made)
    this.#stopSignals.set(signal, made)
    return made
  }
}

/** Renewals have a lane of their own: the completion of a key must not meet its renewal in one batch. */
function keeperOf(
  settings: Settings<never>,
  calls: GuardedStore,
  events: EventHub,
  load: StoreLoad,
): LeaseKeeper {
  const lane = laneTo<RenewUpdate, UpdateAnswer>(settings, (batch) => calls.update(batch), load)
  const tellLost = ({ id, leaseMs }: Lease): void =>
    events.emit('warning', () => ({ message: `a lease of ${leaseMs} ms was lost by ${id}` }))
  return new LeaseKeeper(settings, settings.clock, (update) => lane.ask(update), tellLost)
}

function laneTo<Request, Answer>(
  { store }: Pick<Settings<never>, 'store'>,
  send: (batch: readonly Request[]) => Promise<readonly Answer[]>,
  load: StoreLoad,
): Batcher<Request, Answer> {
  return new Batcher(send, store.batching, isOneEntrysFault, load)
}

function isOneEntrysFault(error: unknown): boolean {
  return isOncemqError(error) && error.code === 'ONCEMQ_STORE_REFUSED'
}
