import type { Identity } from '../delivery/identity.ts'
import type { OncemqError } from '../errors.ts'
import { received } from '../errors.ts'
import type { EventHub } from '../observe/event-hub.ts'
import type { ClaimUpdate, CompleteUpdate, ReleaseUpdate, UpdateAnswer } from '../store/contract.ts'
import type { Outage } from '../store/outage.ts'
import type { Clock } from '../time/clock.ts'
import { pause } from '../time/condition.ts'
import type { Batcher } from './batcher.ts'
import type { Isolation } from './isolation.ts'
import type { Lease, LeaseKeeper } from './lease-keeper.ts'
import type { DoneKey, LocalKey, LocalKeys } from './local-keys.ts'

/**
 * How a claim ended for a handler that succeeded. `unconfirmed`: the store could not be told before the lease
 * ended, and is still being told in the background. `closed`: the deduplicator was closed before the store had
 * answered; whether the key is done is not known, and the message has to be delivered again.
 */
export type Completion = 'completed' | 'lost' | 'unconfirmed' | 'closed'

/**
 * Why a key is given back. `failed`: the attempt counts. `spent`: no attempt is left, and a further delivery is
 * rejected, until the message is durably dead-lettered and the key forgiven. `permanent`: attempts start
 * afresh. `unstarted`: nothing counts.
 */
export type ReleaseReason = 'failed' | 'spent' | 'permanent' | 'unstarted'

/** The right to process one key, granted to one delivery. Its lease is renewed until it ends. */
export interface Claim {
  /** The delivery's key, as it arrived. */
  readonly key: string
  /** Rises with each grant of the key: a fencing token. */
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
   * Gives the key back. Never rejects: a store that is down is told later, in the background, and the lease
   * ends by itself.
   */
  release(reason: ReleaseReason): Promise<void>
}

/** A claim as a strategy runs it. */
export interface RunningClaim extends Claim {
  /** Whether the lease is lost: whatever the handler does now, another worker's outcome counts. */
  readonly isLost: boolean
  /** Tells the handler to stop, as a lost lease does. */
  abort(reason: unknown): void
  /** Lets the attempts of the key start afresh: its message is durably dead-lettered. Never rejects. */
  forgive(): Promise<boolean>
  /** Ends the claim by a completion that `commit` makes durable together with the handler's writes. */
  commit(
    commit: (completion: (result: Uint8Array | undefined) => CompleteUpdate) => Promise<UpdateAnswer>,
  ): Promise<Completion>
}

/** What the claims of a deduplicator share. */
export interface ClaimServices {
  readonly retentionMs: number
  readonly attemptsMax: number
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
  /** Lets the attempts of a key start afresh. Never rejects; answers whether it could. */
  forgive(identity: Identity): Promise<boolean>
}

const RESULT_BYTES_MAX = 1_048_576
const BACKGROUND_MAX_MS = 3_600_000
const REFUSED_AGAIN_MS = 1000

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
  /** Set while the store is yet to be told of the release. */
  #releasing: Promise<void> | undefined
  #takenOver = false

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

  get key(): string {
    return this.#identity.key
  }

  get signal(): AbortSignal {
    return this.#lease.signal
  }

  get takenOver(): boolean {
    return this.#takenOver
  }

  get isLost(): boolean {
    return this.#lease.lost
  }

  /** Resolves when the store knows of the release; `undefined` where it does already. */
  get releasing(): Promise<void> | undefined {
    return this.#releasing
  }

  abort(reason: unknown): void {
    this.#lease.abort(reason)
  }

  async forgive(): Promise<boolean> {
    const forgive = (): Promise<boolean> => this.#services.forgive(this.#identity)
    if (this.#releasing === undefined) return forgive()
    // Told now, it would be undone by the release, which is still on its way.
    void this.#releasing.then(forgive)
    return false
  }

  complete(result?: Uint8Array): Promise<Completion> {
    this.#end ??= this.#complete(result)
    return this.#end
  }

  async release(reason: ReleaseReason): Promise<void> {
    this.#end ??= this.#release(reason)
    await this.#end
  }

  commit(commit: (completion: (result: Uint8Array | undefined) => CompleteUpdate) => Promise<UpdateAnswer>) {
    const kept: { result: Uint8Array | undefined } = { result: undefined }
    if (!this.#services.renewsInTransaction()) this.#services.keeper.hold(this.#lease)
    return commit((result) => {
      kept.result = this.#bounded(result)
      return this.#completion(kept.result)
    }).then((answer) => {
      this.#handlerEnded()
      this.#end = Promise.resolve(this.#ended(answer, kept.result))
      return this.#end
    })
  }

  #handlerEnded(): void {
    this.#services.keeper.drop(this.#lease)
    this.#services.isolation.ended()
  }

  #complete(given: Uint8Array | undefined): Promise<Completion> {
    this.#handlerEnded()
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
    return (await this.#storeIsBack(error, untilMs)) ? this.#tell(update, untilMs) : undefined
  }

  /** A result that the store refuses must not keep the key from being done. */
  async #tellWithoutResult(update: CompleteUpdate, untilMs: number): Promise<UpdateAnswer | undefined> {
    this.#services.events.emit('warning', () => ({
      message: 'the store refused a result; the key is done without it',
    }))
    return this.#tell({ ...update, result: undefined }, untilMs)
  }

  async #storeIsBack(error: OncemqError, untilMs: number): Promise<boolean> {
    const { clock, outage } = this.#services
    const leftMs = untilMs - clock.monotonicMs()
    if (leftMs <= 0 || outage.isClosed) return false
    // What is refused for one key may be fine for all others.
    if (!error.retryable) return pause(clock, Math.min(leftMs, REFUSED_AGAIN_MS))
    outage.failed(error)
    return outage.recovery(leftMs)
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
    const { attempt } = this
    // One more than the last start that a suspect may have: see the pending claim.
    const spent = this.#services.attemptsMax + 1
    const attempts = { failed: attempt, spent, permanent: 0, unstarted: attempt - 1 }[reason]
    const { id, claimId } = this.#lease
    const update = {
      op: 'release',
      id,
      claimId,
      retentionMs: this.#services.retentionMs,
      attempts: Math.max(0, attempts - (this.#identity.startsBefore ?? 0)),
    } as const
    try {
      this.#takenOver = (await this.#services.updates.ask(update)) === 'lost'
    } catch (error) {
      this.#releasing = this.#releaseLater(update, error as OncemqError)
      // Until the store knows that nothing has started, the next claim would count one more.
      if (reason === 'unstarted') {
        void this.#releasing.then(() => this.#over('lost'))
        return 'lost'
      }
    }
    if (this.#takenOver) this.#services.events.emit('lost', () => ({ key: this.key, epoch: this.epoch }))
    return this.#over('lost')
  }

  /** The key is free when its lease ends, but what its attempts become has to be said. */
  async #releaseLater(update: ReleaseUpdate, error: OncemqError): Promise<void> {
    const untilMs = this.#services.clock.monotonicMs() + BACKGROUND_MAX_MS
    for (let thrown = error; await this.#storeIsBack(thrown, untilMs);) {
      try {
        await this.#services.updates.ask(update)
        return
      } catch (again) {
        thrown = again as OncemqError
      }
    }
  }

  #over(completion: Completion, done?: DoneKey): Completion {
    this.#services.keys.leave(this.#localKey, done)
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
