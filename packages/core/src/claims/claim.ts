import type { Identity } from '../delivery/identity.ts'
import type { OncemqError } from '../errors.ts'
import { received } from '../errors.ts'
import type { EventHub } from '../observe/event-hub.ts'
import type { ClaimUpdate, CompleteUpdate, ReleaseUpdate, UpdateAnswer } from '../store/contract.ts'
import type { Outage } from '../store/outage.ts'
import type { Clock } from '../time/clock.ts'
import { mayAskAgain } from './ask-again.ts'
import type { Batcher } from './batcher.ts'
import type { Isolation } from './isolation.ts'
import type { Lease, LeaseKeeper } from './lease-keeper.ts'
import type { DoneKey, LocalKey, LocalKeys } from './local-keys.ts'
import { spentAfter, startsOf } from './spent-attempts.ts'
import type { LastAttempt } from './spent-keys.ts'
import type { Commit, Completion, ReleaseReason, Start } from './start.ts'

/**
 * The right to process one key, granted to one delivery. Its lease is renewed until it ends. One without a
 * record has no key and no lease, and is nobody else's to take over.
 */
export interface Claim {
  /** The delivery's key, as it arrived. */
  readonly key: string | undefined
  /** The id of its record; `undefined` without a key. */
  readonly id: string | undefined
  /** Rises with each grant of the key: a fencing token. 0 without a record. */
  readonly epoch: number
  /** Which start this is, from 1. */
  readonly attempt: number
  /** Aborts when the lease is lost: another worker may be granted the key. */
  readonly signal: AbortSignal
  /** Whether the store said, at the end, that the claim was another worker's by then. */
  readonly takenOver: boolean
  /**
   * Records that the key is done, with an optional result of up to 1 MiB for duplicates, and retries until
   * the lease ends. Never rejects; a second call answers what the first did.
   */
  complete(result?: Uint8Array): Promise<Completion>
  /**
   * Gives the key back. Never rejects: a store that is down is asked later, in the background, and the lease
   * ends by itself.
   */
  release(reason: ReleaseReason): Promise<void>
  /**
   * Lets the attempts of the key start afresh: its message is durably dead-lettered. Never rejects; answers
   * whether it could.
   */
  forgive(): Promise<boolean>
}

/** A claim as a strategy runs it. */
export type RunningClaim = Claim & Start

/** What the claims of a deduplicator share. */
export interface ClaimServices {
  readonly retentionMs: number
  /** See the store's guarantee of the same name. */
  readonly renewsInTransaction: () => boolean
  readonly clock: Clock
  readonly keeper: LeaseKeeper
  readonly isolation: Isolation
  readonly outage: Outage
  readonly events: EventHub
  readonly updates: Batcher<ClaimUpdate, UpdateAnswer>
  /** Deliveries that wait for a key go on when its claim is over. */
  readonly keys: LocalKeys
  /**
   * Lets the attempts of a key start afresh, of which `last` was the last. Never rejects; answers whether it
   * could.
   */
  forgive(identity: Identity, last: LastAttempt | undefined): Promise<boolean>
}

const RESULT_BYTES_MAX = 1_048_576
const BACKGROUND_MAX_MS = 3_600_000

/**
 * A claim while it is held. It ends once, by `complete` or by `release`; until then its lease is renewed.
 *
 *   running ──complete──▶ telling ──ok──▶ completed
 *      │                     ├──lost──▶ lost
 *      │                     ├──lease over, store silent──▶ unconfirmed ──(background)──▶ completed or lost
 *      │                     └──deduplicator closed──▶ closed
 *      └─────release──▶ given back
 */
export class HeldClaim implements RunningClaim {
  readonly #services: ClaimServices
  readonly #identity: Identity
  readonly #localKey: LocalKey
  readonly #onEnd: (() => void) | undefined
  readonly #lease: Lease
  readonly epoch: number
  readonly attempt: number
  #end: Promise<Completion> | undefined
  #takenOver = false
  /** When the completion was told for the first time: its retention starts no earlier. */
  #doneSinceMs: number | undefined
  /** Which was the last attempt of its key, when there is none after it. */
  #lastAttempt: number | undefined

  constructor(
    services: ClaimServices,
    identity: Identity,
    localKey: LocalKey,
    lease: Lease,
    grant: { epoch: number; attempt: number },
    onEnd?: () => void,
  ) {
    this.#onEnd = onEnd
    this.#services = services
    this.#identity = identity
    this.#localKey = localKey
    this.#lease = lease
    this.epoch = grant.epoch
    this.attempt = grant.attempt + (identity.startsBefore ?? 0)
    services.keeper.watch(lease)
    services.isolation.started()
  }

  get key(): string | undefined {
    return this.#identity.key
  }

  /** None without a key: a further start has another record, so that nothing is to be derived from this. */
  get id(): string | undefined {
    return this.key === undefined ? undefined : this.#identity.id
  }

  get signal(): AbortSignal {
    return this.#lease.signal
  }

  get takenOver(): boolean {
    return this.#takenOver
  }

  /** By the clock too: after a stall of the process answers are heard before its timers are. */
  get isLost(): boolean {
    return this.#lease.lost || this.#services.clock.monotonicMs() >= this.#lease.deadlineMs
  }

  abort(reason: unknown): void {
    this.#lease.abort(reason)
  }

  forgive(): Promise<boolean> {
    const attempt = this.#lastAttempt
    // From now on a delivery may be a replay.
    const last = attempt === undefined ? undefined : { attempt, endedMs: this.#services.clock.monotonicMs() }
    return this.#services.forgive(this.#identity, last)
  }

  /** Gives it back since no start was left. What was spent stays so, with its count. */
  exhausted(): Promise<void> {
    this.#lastAttempt = startsOf(this.attempt - 1)
    return this.release('unstarted')
  }

  complete(result?: Uint8Array): Promise<Completion> {
    this.#end ??= this.#complete(result)
    return this.#end
  }

  async release(reason: ReleaseReason): Promise<void> {
    this.#end ??= this.#release(reason)
    await this.#end
  }

  commit(commit: Commit): Promise<Completion> {
    const kept: { result: Uint8Array | undefined } = { result: undefined }
    const { clock, keeper, renewsInTransaction } = this.#services
    if (!renewsInTransaction()) keeper.hold(this.#lease)
    return commit((result) => {
      this.#doneSinceMs = clock.monotonicMs()
      kept.result = this.#bounded(result)
      // From now on its record is locked, in a batch for a while: renewals would wait, and others with them.
      keeper.drop(this.#lease)
      return this.#completion(kept.result)
    }).then(
      (answer) => {
        this.#handlerEnded()
        this.#end = Promise.resolve(this.#ended(answer, kept.result))
        return this.#end
      },
      (error: unknown) => {
        // It may be run again.
        keeper.drop(this.#lease)
        if (!this.#lease.lost) keeper.watch(this.#lease)
        throw error
      },
    )
  }

  #handlerEnded(): void {
    this.#services.keeper.drop(this.#lease)
    this.#services.isolation.ended()
  }

  #complete(given: Uint8Array | undefined): Promise<Completion> {
    this.#handlerEnded()
    this.#doneSinceMs = this.#services.clock.monotonicMs()
    const result = this.#bounded(given)
    const update = this.#completion(result)
    return new Promise((resolve) => {
      this.#services.updates.submit(update, {
        answered: (answer) => resolve(this.#ended(answer, result)),
        failed: (error) => resolve(this.#completeAgain(update, error as OncemqError)),
      })
    })
  }

  async #completeAgain(update: CompleteUpdate, error: OncemqError): Promise<Completion> {
    const answer = await this.#tellAgain(update, error, this.#lease.deadlineMs)
    if (answer !== undefined) return this.#ended(answer, update.result)
    // A lease that is not over was not too short: there was no time to wait for the store.
    if (this.#services.outage.isClosed) return this.#over('closed')
    this.#services.events.emit('unconfirmed', () => ({ key: this.key, epoch: this.epoch }))
    void this.#tellLater(update)
    this.#onEnd?.()
    return 'unconfirmed'
  }

  /** The key stays in flight here meanwhile, so that no other delivery of this process is granted it. */
  async #tellLater(update: CompleteUpdate): Promise<void> {
    const answer = await this.#tell(update, this.#services.clock.monotonicMs() + BACKGROUND_MAX_MS)
    this.#ended(answer ?? 'lost', update.result)
  }

  async #tell(update: CompleteUpdate, untilMs: number): Promise<UpdateAnswer | undefined> {
    try {
      return await this.#services.updates.ask(update)
    } catch (error) {
      // The calls of the store throw nothing else.
      return this.#tellAgain(update, error as OncemqError, untilMs)
    }
  }

  async #tellAgain(
    update: CompleteUpdate,
    error: OncemqError,
    untilMs: number,
  ): Promise<UpdateAnswer | undefined> {
    if (!error.retryable && update.result !== undefined) return this.#tellWithoutResult(update, untilMs)
    return (await mayAskAgain(error, untilMs, this.#services)) ? this.#tell(update, untilMs) : undefined
  }

  /** A result that the store refuses must not keep the key from being done. */
  async #tellWithoutResult(update: CompleteUpdate, untilMs: number): Promise<UpdateAnswer | undefined> {
    this.#services.events.emit('warning', () => ({
      message: 'the store refused a result; the key is done without it',
    }))
    return this.#tell({ ...update, result: undefined }, untilMs)
  }

  #ended(answer: UpdateAnswer, result: Uint8Array | undefined): Completion {
    const { key, epoch } = this
    const done = answer === 'ok'
    this.#takenOver = !done
    this.#services.events.emit(done ? 'completed' : 'lost', () => ({ key, epoch }))
    const { fingerprint } = this.#identity
    return done ? this.#over('completed', { fingerprint, result }) : this.#over('lost')
  }

  async #release(reason: ReleaseReason): Promise<Completion> {
    this.#handlerEnded()
    if (reason === 'spent') this.#lastAttempt = this.attempt
    const { startsBefore = 0 } = this.#identity
    const attempt = this.attempt - startsBefore
    const spent = spentAfter(attempt)
    const attempts = { failed: attempt, spent, permanent: 0, unstarted: attempt - 1 }[reason]
    const { id, claimId } = this.#lease
    const update = {
      op: 'release',
      id,
      claimId,
      retentionMs: this.#services.retentionMs,
      attempts,
    } as const
    try {
      this.#takenOver = (await this.#services.updates.ask(update)) === 'lost'
    } catch (error) {
      void this.#releaseLater(update, error as OncemqError)
      this.#onEnd?.()
      return 'lost'
    }
    if (this.#takenOver) this.#services.events.emit('lost', () => ({ key: this.key, epoch: this.epoch }))
    return this.#over('lost')
  }

  /**
   * The key is free when its lease ends, but what its attempts become has to be said. Until then it stays in
   * flight here: an id must not stand in a batch twice. What the store refuses is not asked for past the
   * lease.
   */
  async #releaseLater(update: ReleaseUpdate, error: OncemqError): Promise<void> {
    const { clock, retentionMs } = this.#services
    const forgottenMs = clock.monotonicMs() + retentionMs
    const untilMs = ({ retryable }: OncemqError): number => (retryable ? forgottenMs : this.#lease.deadlineMs)
    for (let thrown = error; await mayAskAgain(thrown, untilMs(thrown), this.#services);) {
      try {
        await this.#services.updates.ask(update)
        break
      } catch (again) {
        thrown = again as OncemqError
      }
    }
    this.#over('lost')
  }

  #over(completion: Completion, done?: DoneKey): Completion {
    this.#services.keys.leave(this.#localKey, done, this.#doneSinceMs)
    this.#onEnd?.()
    return completion
  }

  #completion(result: Uint8Array | undefined): CompleteUpdate {
    const { id, claimId } = this.#lease
    return { op: 'complete', id, claimId, retentionMs: this.#services.retentionMs, result }
  }

  #bounded(result: Uint8Array | undefined): Uint8Array | undefined {
    if (result === undefined) return undefined
    const isBytes = result instanceof Uint8Array
    if (isBytes && result.byteLength <= RESULT_BYTES_MAX) return result
    const what = isBytes ? `${result.byteLength} bytes` : received(result)
    this.#services.events.emit('warning', () => ({
      message: `a result was not kept: expected up to ${RESULT_BYTES_MAX} bytes, received ${what}`,
    }))
    return undefined
  }
}
