import type { Requester, Batcher } from './batcher.ts'
import type { Waiters, DeliveryWait } from './waiters.ts'
import type { ClaimServices } from './claim.ts'
import { Claim } from './claim.ts'
import { OncemqError } from '../errors.ts'
import type { Identity } from '../delivery/identity.ts'
import type { LocalKey, DoneKey } from './local-keys.ts'
import { Lease } from './lease-keeper.ts'
import type { Settings } from '../options.ts'
import type { ClaimOutcome, NotGranted } from '../delivery/outcome.ts'
import type { ClaimAnswer } from '../store/contract.ts'

const LATE_ANSWERS_MAX = 3
const RETRY_AFTER_MS = 1000

/** What the deliveries of a deduplicator share on their way to a claim. */
export interface PendingClaimServices extends ClaimServices {
  readonly settings: Settings<unknown>
  readonly busyWait: Waiters
  readonly lane: Batcher<Lease, ClaimAnswer>
  readonly closing: AbortSignal
  /** Aborts with the delivery's own signal, and at close. */
  stopSignal(signal: AbortSignal | undefined): AbortSignal
}

/**
 * The way of a delivery to its claim:
 *
 *   in flight here? ──wait──▶ done a moment ago? ──▶ batcher ──▶ store ──▶ granted
 *         ▲                          │                  ▲         │ done: duplicate
 *         └─ another was first       ▼                  │         │ busy: wait, ask again
 *                                duplicate              └─────────┘ no answer: hold, ask again
 *
 * It is told by calls and not by promises: nearly all deliveries are granted by the first answer, and a
 * promise for each step was measured to be a fifth of what a delivery cost. What has to wait takes the
 * asynchronous methods.
 */
export class PendingClaim implements Requester<ClaimAnswer> {
  readonly #home: PendingClaimServices
  readonly #identity: Identity
  readonly #signal: AbortSignal | undefined
  readonly #end: (outcome: ClaimOutcome) => void
  readonly #lease: Lease
  #known: LocalKey | undefined
  #wait: DeliveryWait | undefined
  #holdUntilMs: number | undefined
  #lateAnswers = 0

  /** `end` is told how it ended, once. */
  constructor(
    home: PendingClaimServices,
    identity: Identity,
    signal: AbortSignal | undefined,
    end: (outcome: ClaimOutcome) => void,
  ) {
    this.#home = home
    this.#identity = identity
    this.#signal = signal
    this.#end = end
    this.#lease = new Lease(identity, home.settings.random.claimId(), home.settings)
  }

  begin(): void {
    const { closing, keys } = this.#home
    const { id } = this.#identity
    if (closing.aborted) return this.#end(closed())
    const known = keys.get(id)
    if (known?.isInFlight === true) return void this.#waitHere(known)
    if (known?.done !== undefined) return this.#end(this.#done(known.done, 'memory'))
    this.#known = keys.enter(id)
    this.#ask()
  }

  answered(answer: ClaimAnswer): void {
    switch (answer.status) {
      case 'granted':
        return this.#granted(answer)
      case 'done':
        return this.#leave(this.#done(answer, 'store'), answer)
      case 'busy':
        return void this.#waitForLease(answer.leaseRemainingMs)
    }
  }

  failed(thrown: unknown): void {
    // The calls of the store throw nothing else.
    const error = thrown as OncemqError
    if (!error.retryable) return this.#leave(unavailable(error))
    this.#home.outage.fail(error)
    this.#ask()
  }

  #ask(): void {
    const { outage, lane } = this.#home
    if (outage.error === undefined) lane.submit(this.#lease, this)
    else void this.#hold(outage.error)
  }

  async #hold(down: OncemqError): Promise<void> {
    const { clock, outage, settings } = this.#home
    const nowMs = clock.monotonicMs()
    this.#holdUntilMs ??= nowMs + settings.outageHoldMs
    const leftMs = this.#holdUntilMs - nowMs
    const isHeld = settings.onStoreDown === 'hold' && leftMs > 0
    if (isHeld && (await outage.recovered(leftMs, this.#stopSignal))) return this.#ask()
    this.#leave(unavailable(down))
  }

  /** Of those that wait for the same key, the first goes on, and the others wait for it. */
  async #waitHere(running: LocalKey): Promise<void> {
    this.#wait ??= this.#home.busyWait.begin(this.#stopSignal)
    if (await this.#wait.forLocal(running.ended)) this.begin()
    else this.#end(this.#busy(RETRY_AFTER_MS))
  }

  async #waitForLease(leaseRemainingMs: number): Promise<void> {
    this.#wait ??= this.#home.busyWait.begin(this.#stopSignal)
    if (await this.#wait.forLease(leaseRemainingMs)) this.#ask()
    else this.#leave(this.#busy(Math.max(1, leaseRemainingMs)))
  }

  #granted(grant: { epoch: number; attempt: number }): void {
    const { clock, closing, events, settings } = this.#home
    const isLate = clock.monotonicMs() >= this.#lease.deadlineMs
    // The answer came when its lease was as good as over. PendingClaim again with the same claim id starts it anew.
    if (isLate && ++this.#lateAnswers < LATE_ANSWERS_MAX) return this.#ask()
    const claim = new Claim(this.#home, this.#identity, this.#entered, this.#lease, grant)
    if (isLate) return void this.#giveBack(claim, unavailable(lateAnswers()))
    if (closing.aborted) return void this.#giveBack(claim, closed())
    if (claim.attempt > settings.attemptsMax) return void this.#exhausted(claim)
    events.emit('granted', () => ({ key: claim.key, epoch: claim.epoch, attempt: claim.attempt }))
    this.#end({ status: 'granted', claim })
  }

  async #giveBack(claim: Claim, outcome: ClaimOutcome): Promise<void> {
    await claim.release('unstarted')
    this.#end(outcome)
  }

  async #exhausted(claim: Claim): Promise<void> {
    const { events, settings } = this.#home
    await claim.release('permanent')
    events.emit('rejected', () => ({ key: claim.key, reason: 'attempts' }))
    this.#end({ status: 'rejected', reason: 'attempts', error: attemptsExhausted(settings.attemptsMax) })
  }

  /** Ends without a claim: others that wait for the key go on. */
  #leave(outcome: ClaimOutcome, done?: DoneKey): void {
    this.#home.keys.leave(this.#entered, done)
    this.#end(outcome)
  }

  #done(done: DoneKey, source: 'store' | 'memory'): ClaimOutcome {
    const { key, fingerprint } = this.#identity
    const { events, settings } = this.#home
    const differs =
      done.fingerprint !== undefined && fingerprint !== undefined && done.fingerprint !== fingerprint
    if (differs) events.emit('conflict', () => ({ key }))
    if (!differs || settings.onConflict === 'ack') {
      events.emit('duplicate', () => ({ key, source }))
      return { status: 'duplicate', result: done.result }
    }
    if (settings.onConflict === 'process') return { status: 'unprotected', reason: 'conflict' }
    return { status: 'rejected', reason: 'conflict', error: keyConflict() }
  }

  #busy(retryAfterMs: number): ClaimOutcome {
    const { key } = this.#identity
    this.#home.events.emit('busy', () => ({ key, retryAfterMs }))
    return { status: 'busy', retryAfterMs }
  }

  /** The key, which is in flight since it was asked for. */
  get #entered(): LocalKey {
    return this.#known as LocalKey
  }

  get #stopSignal(): AbortSignal {
    return this.#home.stopSignal(this.#signal)
  }
}

function unavailable(error: OncemqError): NotGranted {
  return { status: 'unavailable', retryAfterMs: RETRY_AFTER_MS, error }
}

function closed(): NotGranted {
  return unavailable(new OncemqError('ONCEMQ_CLOSED', 'the deduplicator is closed; make a new one'))
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
