import { closed, conflicted, lateAnswers, rejectedForAttempts, startsMax } from '../delivery/refusals.ts'
import type { Identity } from '../delivery/identity.ts'
import type { Asked, Delivery, Forgive, NotGranted, Unprotected } from '../delivery/outcome.ts'
import type { OncemqError } from '../errors.ts'
import type { Settings } from '../options.ts'
import type { ClaimAnswer } from '../store/contract.ts'
import { backoffMs, jittered } from '../time/backoff.ts'
import { pause } from '../time/condition.ts'
import type { Batcher, Requester } from './batcher.ts'
import type { ClaimServices } from './claim.ts'
import { HeldClaim } from './claim.ts'
import { Lease } from './lease-keeper.ts'
import type { DoneKey, LocalKey } from './local-keys.ts'
import { startsOf, startsTold } from './spent-attempts.ts'
import type { SpentKeys } from './spent-keys.ts'
import type { DeliveryWait, Waiters } from './waiters.ts'

const LATE_ANSWERS_MAX = 3
const RETRY_AFTER_MS = 1000
/** Between two questions to a store that is up and held by something of ours. */
const STORE_BUSY_BACKOFF = { firstMs: 50, factor: 2, maxMs: 1000 }

/** What the deliveries of a deduplicator share on their way to a claim. */
export interface PendingClaimServices extends ClaimServices {
  readonly settings: Settings<unknown>
  readonly spent: SpentKeys
  readonly waiters: Waiters
  readonly claims: Batcher<Lease, ClaimAnswer>
  readonly closing: AbortSignal
  /** Aborts with any of the delivery's own signals, and at close. */
  stopSignal(delivery: Delivery): AbortSignal
  /** Gives back a claim that may have been applied although its answer was lost. */
  abandon(lease: Lease): Promise<void>
}

/**
 * The way of a delivery to its claim:
 *
 *   in flight here? ──wait──▶ done a moment ago? ──▶ batcher ──▶ store ──▶ granted ──suspect──▶ alone, again
 *         ▲                          │                  ▲         │ done: duplicate
 *         └─ another was first       ▼                  │         │ busy: wait, ask again
 *                                duplicate              └─────────┘ no answer: hold, ask again
 *
 * It is answered by calls and not by promises: nearly all deliveries are granted by the first answer, and a
 * promise for each step was measured to be a fifth of what a delivery cost. What has to wait takes the
 * asynchronous methods.
 */
export class PendingClaim implements Requester<ClaimAnswer> {
  readonly #services: PendingClaimServices
  readonly #identity: Identity
  readonly #delivery: Delivery
  readonly #end: (outcome: Asked) => void
  #lease: Lease
  #localKey: LocalKey | undefined
  #wait: DeliveryWait | undefined
  #holdUntilMs: number | undefined
  #lateAnswers = 0
  #storeBusy = 0
  /** Whether there may be a claim that nobody here has: its answer never came, or too late. */
  #isInDoubt = false
  /** Set while this delivery is a suspect whose turn it is. */
  #endTurn: (() => void) | undefined
  /** Whether a suspect took too long, so that this delivery waits for none any more. */
  #isOverdue = false

  /** `end` is called with how it ended, once. */
  constructor(
    services: PendingClaimServices,
    identity: Identity,
    delivery: Delivery,
    end: (outcome: Asked) => void,
  ) {
    this.#services = services
    this.#identity = identity
    this.#delivery = delivery
    this.#end = end
    this.#lease = this.#newLease()
  }

  begin(): void {
    if (this.#services.isolation.isReserved) void this.#waitForSuspects()
    else this.#enter()
  }

  answered(answer: ClaimAnswer): void {
    this.#isInDoubt = false
    switch (answer.status) {
      case 'granted':
        return this.#granted(answer)
      case 'done':
        return this.#leave(this.#done(answer, 'store'), answer)
      case 'busy':
        return void this.#waitForLease(answer.leaseRemainingMs)
      case 'conflict':
        return this.#leave(this.#conflict(undefined))
    }
  }

  failed(thrown: unknown): void {
    // The calls of the store throw nothing else.
    const error = thrown as OncemqError
    if (error.code === 'ONCEMQ_STORE_BUSY') return void this.#holdBriefly(error)
    if (!error.retryable) return this.#leave({ status: 'store-refused', error })
    this.#isInDoubt = true
    this.#services.outage.failed(error)
    this.#ask()
  }

  #enter(): void {
    const { closing, keys, spent } = this.#services
    if (closing.aborted) return this.#end(closed())
    const known = keys.get(this.#identity.id)
    if (known?.isInFlight === true) return void this.#waitHere(known)
    if (known?.done !== undefined) return this.#end(this.#done(known.done, 'memory'))
    const last = spent.lastOf(this.#identity, this.#delivery.heldSinceMs)
    if (last !== undefined) return this.#end(this.#exhaustedAfter(last.attempt))
    this.#localKey = keys.enter(this.#identity.id)
    this.#ask()
  }

  #ask(): void {
    const { outage, claims } = this.#services
    if (outage.mayAsk()) claims.submit(this.#lease, this)
    else void this.#hold(outage.error as OncemqError)
  }

  /** With the same claim: whether it was applied in the doubt before makes no difference. */
  async #hold(down: OncemqError): Promise<void> {
    this.#stopBeingAlone()
    const leftMs = this.#holdLeftMs()
    const { outage, claims } = this.#services
    const isBack = leftMs > 0 && (await outage.recovery(leftMs, this.#stopSignal))
    // Not #ask: of those that wait, one is let go while the store is still on trial.
    if (isBack) claims.submit(this.#lease, this)
    else this.#leave(this.#down(down))
  }

  async #holdBriefly(error: OncemqError): Promise<void> {
    this.#stopBeingAlone()
    const { clock, settings } = this.#services
    const delayMs = jittered(backoffMs(STORE_BUSY_BACKOFF, this.#storeBusy++), settings.random)
    const mayWait = this.#holdLeftMs() > delayMs
    if (mayWait && (await pause(clock, delayMs, this.#stopSignal))) return this.#ask()
    this.#leave(this.#down(error))
  }

  /** What a store that does not answer is: down for now, or closed. */
  #down(error: OncemqError): NotGranted {
    const { closing, outage } = this.#services
    if (closing.aborted) return closed()
    if (outage.isClosed) return { status: 'closed', error: outage.error ?? error }
    return { status: 'store-down', error }
  }

  #holdLeftMs(): number {
    const { clock, closing, settings } = this.#services
    if (settings.onStoreDown === 'process' || closing.aborted) return 0
    const { holdMs = settings.outageHoldMs } = this.#delivery
    const nowMs = clock.monotonicMs()
    this.#holdUntilMs ??= nowMs + holdMs
    return this.#holdUntilMs - nowMs
  }

  /** Of those that wait for the same key, the first goes on, and the others wait for it. */
  async #waitHere(running: LocalKey): Promise<void> {
    const end = await this.#ownWait().forLocal(running)
    if (end?.done !== undefined) return this.#end(this.#done(end.done, 'memory'))
    if (end !== undefined) return this.begin()
    this.#end(this.#stillBusy(RETRY_AFTER_MS))
  }

  async #waitForLease(leaseRemainingMs: number): Promise<void> {
    this.#stopBeingAlone()
    if (await this.#ownWait().forLease(leaseRemainingMs)) this.#ask()
    else this.#leave(this.#stillBusy(Math.max(1, leaseRemainingMs)))
  }

  /** One that takes longer than its bound holds nobody up any more. */
  async #waitForSuspects(): Promise<void> {
    const { place } = this.#delivery
    this.#isOverdue = !(await this.#services.isolation.shared({ signal: this.#stopSignal, place }))
    if (this.#stopSignal.aborted) this.#end(this.#stillBusy(RETRY_AFTER_MS))
    else this.#enter()
  }

  #granted({ epoch, attempt }: { epoch: number; attempt: number }): void {
    const { clock, isolation, settings } = this.#services
    const isLate = clock.monotonicMs() >= this.#lease.deadlineMs
    // The answer came when its lease was as good as over. Asking again with the same claim id starts it anew.
    if (isLate && ++this.#lateAnswers < LATE_ANSWERS_MAX) {
      // Whoever leaves while the store is down has a claim to give back.
      this.#isInDoubt = true
      return this.#ask()
    }
    const grant = { epoch, attempt: this.#attemptOf(attempt) }
    const claim = new HeldClaim(
      this.#services,
      this.#identity,
      this.#entered,
      this.#lease,
      grant,
      this.#endTurn,
    )
    if (isLate)
      return void this.#giveBack(claim, { status: 'store-down', error: lateAnswers(LATE_ANSWERS_MAX) })
    if (claim.attempt > this.#startsMax) return void this.#exhausted(claim)
    if (this.#endTurn === undefined) {
      if (claim.attempt > settings.attemptsMax) return void this.#askAlone(claim)
      if (isolation.isReserved && !this.#isOverdue) return void this.#giveWay(claim)
    }
    void (this.#delivery.beforeStart?.()?.then(() => this.#start(claim)) ?? this.#start(claim))
  }

  #start(claim: HeldClaim): void {
    const { closing, events } = this.#services
    if (closing.aborted) return void this.#giveBack(claim, closed())
    // Another worker may have the key by now.
    if (claim.isLost) return void this.#giveBack(claim, this.#stillBusy(RETRY_AFTER_MS))
    events.emit('granted', () => ({ key: claim.key, epoch: claim.epoch, attempt: claim.attempt }))
    this.#end({ status: 'granted', claim })
  }

  async #giveBack(claim: HeldClaim, outcome: NotGranted | Unprotected): Promise<void> {
    await claim.release('unstarted')
    this.#end(outcome)
  }

  /**
   * Every start so far ended with its process, else the last one would have been final. It is not started
   * before it is alone, so the claim is given back meanwhile: were the process to end now, that would count.
   */
  async #askAlone(claim: HeldClaim): Promise<void> {
    const { isolation, keys } = this.#services
    const ways = { signal: this.#stopSignal, place: this.#delivery.place }
    this.#endTurn = await isolation.alone(ways, claim.release('unstarted'))
    if (this.#endTurn === undefined) return this.#end(this.#stillBusy(RETRY_AFTER_MS))
    this.#lease = this.#newLease()
    const known = keys.get(this.#identity.id)
    if (known?.isInFlight === true) return this.#endAlone(this.#stillBusy(RETRY_AFTER_MS))
    this.#localKey = keys.enter(this.#identity.id)
    this.#ask()
  }

  /** Granted while a suspect waits for its turn or has it: nothing else may start meanwhile. */
  async #giveWay(claim: HeldClaim): Promise<void> {
    await claim.release('unstarted')
    this.#lease = this.#newLease()
    await this.#waitForSuspects()
  }

  async #exhausted(claim: HeldClaim): Promise<void> {
    await claim.exhausted()
    this.#end(this.#exhaustedAfter(claim.attempt - 1, () => claim.forgive()))
  }

  #exhaustedAfter(attempts: number, forgive?: Forgive): NotGranted {
    const { events, settings } = this.#services
    events.emit('rejected', () => ({ key: this.#identity.key, reason: 'attempts' }))
    return rejectedForAttempts(Math.min(startsOf(attempts), this.#startsMax), settings.attemptsMax, forgive)
  }

  /** Ends without a claim: others that wait for the key go on. */
  #leave(outcome: NotGranted | Unprotected, done?: DoneKey): void {
    if (this.#isInDoubt) return void this.#leaveInDoubt(outcome)
    this.#services.keys.leave(this.#entered, done)
    this.#endAlone(outcome)
  }

  /** Nobody waits for it, but the key stays in flight here until the claim is known to be given back. */
  async #leaveInDoubt(outcome: NotGranted | Unprotected): Promise<void> {
    this.#endAlone(outcome)
    await this.#services.abandon(this.#lease)
    this.#services.keys.leave(this.#entered)
  }

  #endAlone(outcome: NotGranted | Unprotected): void {
    this.#stopBeingAlone()
    this.#end(outcome)
  }

  /** Others start while this one waits. It takes another turn when it is granted. */
  #stopBeingAlone(): void {
    this.#endTurn?.()
    this.#endTurn = undefined
  }

  #done(done: DoneKey, source: 'store' | 'memory'): NotGranted | Unprotected {
    const { key, fingerprint } = this.#identity
    const { events } = this.#services
    const differs =
      done.fingerprint !== undefined && fingerprint !== undefined && done.fingerprint !== fingerprint
    if (differs) return this.#conflict(done)
    events.emit('duplicate', () => ({ key, source }))
    return { status: 'duplicate', result: done.result }
  }

  /** Another payload under the same key, which is done, or is neither done nor to be disturbed. */
  #conflict(done: DoneKey | undefined): NotGranted | Unprotected {
    const { key } = this.#identity
    const { events, settings } = this.#services
    const { startsBefore = 0 } = this.#delivery
    events.emit('conflict', () => ({ key }))
    if (settings.onConflict === 'process') {
      return { status: 'unprotected', reason: 'conflict', attempt: startsBefore + 1 }
    }
    if (settings.onConflict === 'ack' && done !== undefined) return { status: 'duplicate', result: undefined }
    return conflicted(startsBefore)
  }

  /** While the store is down no key becomes free: that is no other worker's doing. */
  #stillBusy(retryAfterMs: number): NotGranted {
    const { closing, outage } = this.#services
    if (closing.aborted) return closed()
    return outage.error === undefined ? this.#busy(retryAfterMs) : this.#down(outage.error)
  }

  #busy(retryAfterMs: number): NotGranted {
    const { key } = this.#identity
    this.#services.events.emit('busy', () => ({ key, retryAfterMs }))
    return { status: 'busy', retryAfterMs }
  }

  #attemptOf(granted: number): number {
    const isOwn = this.#identity.startsBefore !== undefined
    return isOwn ? granted : Math.max(granted, startsTold(this.#delivery) + 1)
  }

  get #startsMax(): number {
    return startsMax(this.#services.settings.attemptsMax, this.#identity.startsBefore === undefined)
  }

  #newLease(): Lease {
    const { settings } = this.#services
    return new Lease(this.#identity, settings.random.claimId(), settings)
  }

  #ownWait(): DeliveryWait {
    this.#wait ??= this.#services.waiters.begin(this.#stopSignal, this.#delivery.place)
    return this.#wait
  }

  /** The key, which is in flight since it was asked for. */
  get #entered(): LocalKey {
    return this.#localKey as LocalKey
  }

  get #stopSignal(): AbortSignal {
    return this.#services.stopSignal(this.#delivery)
  }
}
