import type { Batcher } from './batcher.ts'
import type { Clock } from '../time/clock.ts'
import { received } from '../errors.ts'
import type { OncemqError } from '../errors.ts'
import type { EventHub } from '../observe/events.ts'
import type { Identity } from '../delivery/identity.ts'
import type { LocalKey, LocalKeys } from './local-keys.ts'
import type { Lease, LeaseKeeper } from './lease-keeper.ts'
import type { Outage } from '../store/outage.ts'
import type { ClaimUpdate, CompleteUpdate, UpdateAnswer } from '../store/contract.ts'

/**
 * How a claim ended for a handler that succeeded. `unconfirmed`: the store could not be told before the lease
 * ended, and is still being told in the background.
 */
export type Completion = 'completed' | 'lost' | 'unconfirmed'

/**
 * Why a key is given back: the handler failed, will never succeed (attempts start afresh), or was not
 * started.
 */
export type ReleaseReason = 'failed' | 'permanent' | 'unstarted'

/** What a claim needs of its deduplicator. */
export interface ClaimServices {
  readonly retentionMs: number
  /** See the store's guarantee of the same name. */
  readonly renewsInTransaction: boolean
  readonly clock: Clock
  readonly keeper: LeaseKeeper
  readonly outage: Outage
  readonly events: EventHub
  readonly updates: Batcher<ClaimUpdate, UpdateAnswer>
  /** Deliveries that wait for a key go on when its claim is over. */
  readonly keys: LocalKeys
}

const RESULT_BYTES_MAX = 1_048_576
const BACKGROUND_MAX_MS = 3_600_000

/**
 * The right to process one key, granted to one delivery. It ends once, by `complete` or by `release`; until
 * then its lease is renewed.
 *
 *   running ──complete──▶ telling ──ok──▶ completed
 *      │                     ├──lost──▶ lost
 *      │                     └──lease over, store silent──▶ unconfirmed ──(background)──▶ completed or lost
 *      └─────release──▶ given back
 */
export class Claim {
  readonly #home: ClaimServices
  readonly #identity: Identity
  readonly #known: LocalKey
  readonly #lease: Lease
  readonly epoch: number
  readonly attempt: number
  #end: Promise<Completion> | undefined
  #takenOver = false

  constructor(
    home: ClaimServices,
    identity: Identity,
    known: LocalKey,
    lease: Lease,
    grant: { epoch: number; attempt: number },
  ) {
    this.#home = home
    this.#identity = identity
    this.#known = known
    this.#lease = lease
    this.epoch = grant.epoch
    this.attempt = grant.attempt
    home.keeper.watch(lease)
  }

  /** The delivery's key, as it arrived. */
  get key(): string {
    return this.#identity.key
  }

  /** Aborts when the lease is lost: another worker may be granted the key. */
  get signal(): AbortSignal {
    return this.#lease.signal
  }

  /** Whether the store said, at the end, that the claim was another worker's by then. */
  get takenOver(): boolean {
    return this.#takenOver
  }

  /**
   * Records that the key is done, with an optional result of up to 1 MiB for duplicates, and retries until
   * the lease ends. Never rejects; a second call answers what the first did.
   */
  complete(result?: Uint8Array): Promise<Completion> {
    this.#end ??= this.#complete(result)
    return this.#end
  }

  /** Gives the key back. Never rejects: if the store cannot be told, the lease ends by itself. */
  async release(reason: ReleaseReason): Promise<void> {
    this.#end ??= this.#release(reason)
    await this.#end
  }

  /** Ends the claim by a completion that `commit` makes durable together with the handler's writes. */
  commit(commit: (completion: (result: Uint8Array | undefined) => CompleteUpdate) => Promise<UpdateAnswer>) {
    const kept: { result: Uint8Array | undefined } = { result: undefined }
    if (!this.#home.renewsInTransaction) this.#home.keeper.hold(this.#lease)
    return commit((result) => {
      kept.result = this.#bounded(result)
      return this.#completion(kept.result)
    }).then((answer) => {
      this.#home.keeper.drop(this.#lease)
      this.#end = Promise.resolve(this.#ended(answer, kept.result))
      return this.#end
    })
  }

  #complete(given: Uint8Array | undefined): Promise<Completion> {
    this.#home.keeper.drop(this.#lease)
    const result = this.#bounded(given)
    const update = this.#completion(result)
    return new Promise((resolve) => {
      this.#home.updates.submit(update, {
        answered: (answer) => resolve(this.#ended(answer, result)),
        failed: (error) => resolve(this.#completeAgain(update, error as OncemqError)),
      })
    })
  }

  async #completeAgain(update: CompleteUpdate, error: OncemqError): Promise<Completion> {
    const answer = await this.#tellAgain(update, error, this.#lease.deadlineMs)
    if (answer !== undefined) return this.#ended(answer, update.result)
    this.#home.events.emit('unconfirmed', () => ({ key: this.key, epoch: this.epoch }))
    void this.#tellLater(update)
    return 'unconfirmed'
  }

  /** The key stays in flight here meanwhile, so that no other delivery of this process is granted it. */
  async #tellLater(update: CompleteUpdate): Promise<void> {
    const answer = await this.#tell(update, this.#home.clock.monotonicMs() + BACKGROUND_MAX_MS)
    this.#ended(answer ?? 'lost', update.result)
  }

  async #tell(update: CompleteUpdate, untilMs: number): Promise<UpdateAnswer | undefined> {
    try {
      return await this.#home.updates.ask(update)
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
    if (!error.retryable) return this.#tellWithoutResult(update, untilMs)
    return (await this.#storeIsBack(error, untilMs)) ? this.#tell(update, untilMs) : undefined
  }

  /** A result that the store refuses must not keep the key from being done. */
  async #tellWithoutResult(update: CompleteUpdate, untilMs: number): Promise<UpdateAnswer | undefined> {
    if (update.result === undefined) return undefined
    this.#home.events.emit('warning', () => ({
      message: 'the store refused a result; the key is done without it',
    }))
    return this.#tell({ ...update, result: undefined }, untilMs)
  }

  async #storeIsBack(error: OncemqError, untilMs: number): Promise<boolean> {
    const leftMs = untilMs - this.#home.clock.monotonicMs()
    if (leftMs <= 0) return false
    this.#home.outage.fail(error)
    return this.#home.outage.recovered(leftMs)
  }

  #ended(answer: UpdateAnswer, result: Uint8Array | undefined): Completion {
    const { key, epoch } = this
    const done = answer === 'ok'
    this.#takenOver = !done
    this.#home.events.emit(done ? 'completed' : 'lost', () => ({ key, epoch }))
    this.#home.keys.leave(this.#known, done ? { fingerprint: this.#identity.fingerprint, result } : undefined)
    return done ? 'completed' : 'lost'
  }

  async #release(reason: ReleaseReason): Promise<Completion> {
    this.#home.keeper.drop(this.#lease)
    const attempts = { failed: this.attempt, permanent: 0, unstarted: this.attempt - 1 }[reason]
    const { id, claimId } = this.#lease
    const { retentionMs } = this.#home
    // A failure is an event already, and the lease ends by itself.
    const answer = await this.#home.updates
      .ask({ op: 'release', id, claimId, retentionMs, attempts })
      .catch(() => 'ok' as const)
    return this.#gaveBack(answer)
  }

  #gaveBack(answer: UpdateAnswer): Completion {
    const { key, epoch } = this
    this.#takenOver = answer === 'lost'
    if (this.#takenOver) this.#home.events.emit('lost', () => ({ key, epoch }))
    this.#home.keys.leave(this.#known)
    return 'lost'
  }

  #completion(result: Uint8Array | undefined): CompleteUpdate {
    const { id, claimId } = this.#lease
    return { op: 'complete', id, claimId, retentionMs: this.#home.retentionMs, result }
  }

  #bounded(result: Uint8Array | undefined): Uint8Array | undefined {
    if (result === undefined) return undefined
    const isBytes = result instanceof Uint8Array
    if (isBytes && result.byteLength <= RESULT_BYTES_MAX) return result
    const what = isBytes ? `${result.byteLength} bytes` : received(result)
    this.#home.events.emit('warning', () => ({
      message: `a result was not kept: expected up to ${RESULT_BYTES_MAX} bytes, received ${what}`,
    }))
    return undefined
  }
}
