import { setMaxListeners } from 'node:events'

import { Batcher } from './batcher.ts'
import { BusyWait } from './busy-wait.ts'
import type { DeliveryWait } from './busy-wait.ts'
import type { ClaimHome } from './claim.ts'
import { Claim } from './claim.ts'
import { isOncemqError, OncemqError } from './errors.ts'
import type { EventHub } from './events.ts'
import type { Identity } from './identity.ts'
import { InFlight } from './in-flight.ts'
import { Lease, LeaseKeeper } from './lease-keeper.ts'
import type { Settings } from './options.ts'
import type { Outage } from './outage.ts'
import type { ClaimOutcome, NotGranted } from './outcome.ts'
import { Recent } from './recent.ts'
import type { RecentlyDone } from './recent.ts'
import type { StoreCalls } from './store-calls.ts'
import type { ClaimAnswer, ClaimRequest, ClaimUpdate, RenewUpdate, UpdateAnswer } from './store.ts'

const LATE_ANSWERS_MAX = 3
const RETRY_AFTER_MS = 1000

interface Asking extends ClaimRequest {
  readonly lease: Lease
}

/**
 * The way of a delivery to its claim:
 *
 *   in flight here? ──wait──▶ done a moment ago? ──▶ batcher ──▶ store ──▶ granted
 *         ▲                          │                            │ busy: wait, ask again
 *         └──────────────────────────┼────────────────────────────┘
 *                                    ▼
 *                                duplicate
 */
export class Claims<Tx> {
  readonly #settings: Settings<Tx>
  readonly #outage: Outage
  readonly #events: EventHub
  readonly #inFlight = new InFlight()
  readonly #recent: Recent
  readonly #busyWait: BusyWait
  readonly #keeper: LeaseKeeper
  readonly #claimLane: Batcher<Asking, ClaimAnswer>
  readonly #updateLane: Batcher<ClaimUpdate, UpdateAnswer>
  readonly #home: ClaimHome
  readonly #closing = new AbortController()
  readonly #stopSignals = new WeakMap<AbortSignal, AbortSignal>()

  constructor(settings: Settings<Tx>, calls: StoreCalls, outage: Outage, events: EventHub) {
    const { clock, random, leaseMs, retentionMs, recentMax, recentMs, store } = settings
    const { batching } = store
    this.#settings = settings
    this.#outage = outage
    this.#events = events
    this.#recent = new Recent({ keysMax: recentMax, ttlMs: Math.min(recentMs, retentionMs) }, clock)
    this.#busyWait = new BusyWait(settings, clock, random)
    // A lane of its own: the completion of a key must not meet its renewal in one batch.
    const renewLane = new Batcher<RenewUpdate, UpdateAnswer>(
      (batch) => calls.update(batch),
      batching,
      isOneEntrysFault,
    )
    this.#keeper = new LeaseKeeper(
      { leaseMs, retentionMs },
      clock,
      (update) => renewLane.submit(update),
      (lease) =>
        events.emit('warning', () => ({ message: `a lease of ${leaseMs} ms was lost by ${lease.id}` })),
    )
    this.#claimLane = new Batcher((batch) => this.#sendClaims(calls, batch), batching, isOneEntrysFault)
    this.#updateLane = new Batcher((batch) => calls.update(batch), batching, isOneEntrysFault)
    this.#home = {
      retentionMs,
      renewsInTransaction: store.guarantees.renewsInTransaction,
      clock,
      keeper: this.#keeper,
      outage,
      events,
      update: (update) => this.#updateLane.submit(update),
      ended: (id, done) => this.#ended(id, done),
    }
    setMaxListeners(0, this.#closing.signal)
  }

  /** Asks for the key until it is granted, done, or waiting comes to its bound. Never rejects. */
  async claim(identity: Identity, signal: AbortSignal | undefined): Promise<ClaimOutcome> {
    const { id } = identity
    let wait: DeliveryWait | undefined
    for (;;) {
      if (this.#closing.signal.aborted) return this.#closed()
      const running = this.#inFlight.get(id)
      if (running !== undefined) {
        wait ??= this.#busyWait.begin(this.#stopSignal(signal))
        if (await wait.forLocal(running)) continue
        return this.#busy(identity, RETRY_AFTER_MS)
      }
      const done = this.#recent.get(id)
      if (done !== undefined) return this.#done(identity, done, 'memory')
      const entry = this.#inFlight.enter(id)
      const outcome = await this.#ask(identity, signal, wait)
      if (outcome.status !== 'granted') this.#inFlight.leave(id, entry)
      return outcome
    }
  }

  /** Removes what is remembered of a key here. */
  forget(id: string): void {
    this.#recent.delete(id)
  }

  /** Lets no further delivery in, and waits until those inside have ended. Answers whether all did. */
  async drain(timeoutMs: number): Promise<boolean> {
    this.#closing.abort()
    if (this.#inFlight.size > 0) await this.#inFlight.idle.wait(this.#settings.clock, timeoutMs)
    this.#keeper.close()
    return this.#inFlight.size === 0
  }

  async #ask(
    identity: Identity,
    signal: AbortSignal | undefined,
    begun: DeliveryWait | undefined,
  ): Promise<ClaimOutcome> {
    const asking = this.#asking(identity)
    let wait = begun
    let late = 0
    for (;;) {
      const answer = await this.#answer(asking, signal)
      switch (answer.status) {
        case 'unavailable':
          return answer
        case 'done':
          this.#recent.add(identity.id, answer)
          return this.#done(identity, answer, 'store')
        case 'busy':
          wait ??= this.#busyWait.begin(this.#stopSignal(signal))
          if (await wait.forLease(answer.leaseRemainingMs)) continue
          return this.#busy(identity, Math.max(1, answer.leaseRemainingMs))
        case 'granted': {
          const claim = new Claim(this.#home, identity, asking.lease, answer)
          const isLate = this.#settings.clock.monotonicMs() >= asking.lease.deadlineMs
          if (!isLate || ++late === LATE_ANSWERS_MAX) return this.#granted(claim, isLate)
          // The answer came when its lease was as good as over. Asking again with the same claim id starts it
          // anew.
          this.#keeper.drop(asking.lease)
        }
      }
    }
  }

  #granted(claim: Claim, isLate: boolean): ClaimOutcome | Promise<ClaimOutcome> {
    const { key, epoch, attempt } = claim
    if (isLate || this.#closing.signal.aborted) return this.#notStarted(claim, isLate)
    if (attempt > this.#settings.attemptsMax) return this.#exhausted(claim)
    this.#events.emit('granted', () => ({ key, epoch, attempt }))
    return { status: 'granted', claim }
  }

  async #notStarted(claim: Claim, isLate: boolean): Promise<ClaimOutcome> {
    await claim.release('unstarted')
    return isLate ? this.#unavailable(lateAnswers()) : this.#closed()
  }

  async #exhausted(claim: Claim): Promise<ClaimOutcome> {
    await claim.release('permanent')
    this.#events.emit('rejected', () => ({ key: claim.key, reason: 'attempts' }))
    return { status: 'rejected', reason: 'attempts', error: attemptsExhausted(this.#settings.attemptsMax) }
  }

  async #answer(
    asking: Asking,
    signal: AbortSignal | undefined,
  ): Promise<ClaimAnswer | Extract<NotGranted, { status: 'unavailable' }>> {
    let holdUntilMs: number | undefined
    for (;;) {
      const down = this.#outage.error
      if (down !== undefined) {
        const nowMs = this.#settings.clock.monotonicMs()
        holdUntilMs ??= nowMs + this.#settings.outageHoldMs
        const held = this.#settings.storeDown === 'hold' && holdUntilMs > nowMs
        if (!held || !(await this.#outage.recovered(holdUntilMs - nowMs, this.#stopSignal(signal)))) {
          return this.#unavailable(down)
        }
      }
      try {
        return await this.#claimLane.submit(asking)
      } catch (error) {
        if (!isOncemqError(error)) throw error
        if (!error.retryable) return this.#unavailable(error)
        this.#outage.fail(error)
      }
    }
  }

  #done({ key, fingerprint }: Identity, done: RecentlyDone, source: 'store' | 'memory'): ClaimOutcome {
    const differs =
      done.fingerprint !== undefined && fingerprint !== undefined && done.fingerprint !== fingerprint
    if (!differs || this.#settings.conflict === 'ack') {
      if (differs) this.#events.emit('conflict', () => ({ key }))
      this.#events.emit('duplicate', () => ({ key, source }))
      return { status: 'duplicate', result: done.result }
    }
    this.#events.emit('conflict', () => ({ key }))
    if (this.#settings.conflict === 'dead-letter') {
      return { status: 'rejected', reason: 'conflict', error: keyConflict() }
    }
    return { status: 'unprotected', reason: 'conflict' }
  }

  #busy({ key }: Identity, retryAfterMs: number): ClaimOutcome {
    this.#events.emit('busy', () => ({ key, retryAfterMs }))
    return { status: 'busy', retryAfterMs }
  }

  #closed(): Extract<NotGranted, { status: 'unavailable' }> {
    return this.#unavailable(new OncemqError('ONCEMQ_CLOSED', 'the deduplicator is closed; make a new one'))
  }

  #unavailable(error: OncemqError): Extract<NotGranted, { status: 'unavailable' }> {
    return { status: 'unavailable', retryAfterMs: RETRY_AFTER_MS, error }
  }

  #ended(id: string, done: RecentlyDone | undefined): void {
    if (done !== undefined) this.#recent.add(id, done)
    this.#inFlight.leave(id)
  }

  #asking({ id, fingerprint, label }: Identity): Asking {
    const { random, leaseMs, retentionMs } = this.#settings
    const claimId = random.claimId()
    return { id, claimId, leaseMs, retentionMs, fingerprint, label, lease: new Lease(id, claimId) }
  }

  /**
   * A lease is trusted from the moment before its claim is sent, which is never later than its start in the
   * store.
   */
  #sendClaims(calls: StoreCalls, batch: readonly Asking[]): Promise<readonly ClaimAnswer[]> {
    const sentAtMs = this.#settings.clock.monotonicMs()
    for (const asking of batch) this.#keeper.start(asking.lease, sentAtMs)
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

function isOneEntrysFault(error: unknown): boolean {
  return isOncemqError(error) && error.code === 'ONCEMQ_STORE_REFUSED'
}

function lateAnswers(): OncemqError {
  return new OncemqError(
    'ONCEMQ_LEASE_LOST',
    `expected the store's answer within the lease, received it later ${LATE_ANSWERS_MAX} times; ` +
      `raise leaseMs, or look at what blocks the event loop or the store`,
  )
}

function attemptsExhausted(attemptsMax: number): OncemqError {
  return new OncemqError(
    'ONCEMQ_ATTEMPTS_EXHAUSTED',
    `expected at most ${attemptsMax} attempts, received one more; ` +
      `see why the handler did not finish, then send the message again`,
  )
}

function keyConflict(): OncemqError {
  return new OncemqError(
    'ONCEMQ_CONFLICT',
    'expected the payload that this key was done with, received another one; ' +
      'give each business event a key of its own, or set the conflict policy',
  )
}
