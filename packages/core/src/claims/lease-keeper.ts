import type { Clock, Timer } from '../time/clock.ts'
import type { Identity } from '../delivery/identity.ts'
import type { Linked } from './linked-list.ts'
import { LinkedList } from './linked-list.ts'
import type { ClaimRequest, RenewUpdate, UpdateAnswer } from '../store/contract.ts'

export interface LeaseTimes {
  readonly leaseMs: number
  readonly retentionMs: number
}

/**
 * A lease as this process asks for it and then sees it: from the sending of the claim (never later than the
 * store's own start of it) until a margin before its end, by the monotonic clock.
 */
export class Lease implements ClaimRequest, Linked {
  readonly id: string
  readonly claimId: string
  readonly leaseMs: number
  readonly retentionMs: number
  readonly fingerprint: string | undefined
  readonly label: string | undefined
  /** When this process stops trusting the lease, in monotonic milliseconds. */
  deadlineMs = 0
  renewAtMs = 0
  /** When its claim was sent, in monotonic milliseconds. */
  sinceMs: number | undefined
  isToldSlow = false
  earlier: this | undefined
  later: this | undefined
  #lost = false
  #abortReason: { readonly reason: unknown } | undefined
  #controller: AbortController | undefined

  constructor(
    identity: Omit<Identity, 'key' | 'startsBefore'>,
    claimId: string,
    { leaseMs, retentionMs }: LeaseTimes,
  ) {
    this.id = identity.id
    this.claimId = claimId
    this.leaseMs = leaseMs
    this.retentionMs = retentionMs
    this.fingerprint = identity.fingerprint
    this.label = identity.label
  }

  get lost(): boolean {
    return this.#lost
  }

  /** Aborts when the lease is lost. Made at first use: most handlers never ask. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason.reason)
    }
    return this.#controller.signal
  }

  /** Aborts the signal. */
  abort(reason: unknown): void {
    this.#abortReason ??= { reason }
    this.#controller?.abort(reason)
  }

  lose(): void {
    this.#lost = true
    this.abort(undefined)
  }
}

/**
 * Parts of a lease: renewed at a third, looked at each twelfth, given up a tenth before its end. A hundredth
 * may be over of one that is as good as new: an owner that notices its end a tick late is still in time.
 */
const RENEW_PART = 3
const TICK_PART = 12
const MARGIN_PART = 10
const FRESH_PART = 100

/** After how long a handler is taken for one that hangs: ten leases, and at least five minutes. */
const SLOW_LEASES = 10
const SLOW_MIN_MS = 300_000

/**
 * Whether a running record with a claim's own id is as that claim has just left it. If not, it is of an
 * earlier run of the claim, whose answer was lost, and its lease is to be renewed. For stores whose statement
 * does not tell.
 */
export function isFreshLease(leaseMs: number, remainingMs: number): boolean {
  return remainingMs <= leaseMs && remainingMs >= leaseMs - leaseMs / FRESH_PART
}

/**
 * Renews the leases of running handlers and takes away those that could not be renewed in time. The tick is
 * shorter than the margin, so a handler's signal aborts before another worker can be granted its key.
 *
 *   sent      +1/3 renew     +2/3 renew again     9/10 deadline    1 end in the store
 *    ├───────────┼────────────────┼───────────────────┼───────────────┤
 */
export class LeaseKeeper {
  readonly #settings: LeaseTimes
  readonly #clock: Clock
  readonly #renew: (update: RenewUpdate) => Promise<UpdateAnswer>
  readonly #onLost: (lease: Lease) => void
  readonly #onSlow: (afterMs: number) => void
  readonly #leases = new LinkedList<Lease>()
  #timer: Timer | undefined

  constructor(
    settings: LeaseTimes,
    clock: Clock,
    renew: (update: RenewUpdate) => Promise<UpdateAnswer>,
    onLost: (lease: Lease) => void,
    onSlow: (afterMs: number) => void = () => undefined,
  ) {
    this.#settings = settings
    this.#clock = clock
    this.#renew = renew
    this.#onLost = onLost
    this.#onSlow = onSlow
  }

  /** Sets the times of a lease whose claim or renewal was sent at `sentAtMs`. */
  start(lease: Lease, sentAtMs: number): void {
    const { leaseMs } = this.#settings
    lease.sinceMs ??= sentAtMs
    lease.deadlineMs = sentAtMs + leaseMs - leaseMs / MARGIN_PART
    lease.renewAtMs = sentAtMs + leaseMs / RENEW_PART
  }

  watch(lease: Lease): void {
    this.#leases.add(lease)
    if (this.#timer === undefined) this.#schedule()
  }

  /** For how long the one has been held that is held longest; 0 for none. */
  get longestMs(): number {
    const nowMs = this.#clock.monotonicMs()
    return Math.floor(nowMs - (this.#leases.first?.sinceMs ?? nowMs))
  }

  drop(lease: Lease): void {
    this.#leases.delete(lease)
  }

  /** Renews it no more. Its deadline stands. */
  hold(lease: Lease): void {
    lease.renewAtMs = Number.POSITIVE_INFINITY
  }

  /** Renews nothing any more, and takes away what is still there: its handlers shall stop. */
  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    for (const lease of Array.from(this.#leases)) this.#lose(lease)
  }

  #schedule(): void {
    this.#timer = this.#clock.after(this.#settings.leaseMs / TICK_PART, () => this.#tick(), 'background')
  }

  #tick(): void {
    this.#timer = undefined
    if (this.#leases.first === undefined) return
    const nowMs = this.#clock.monotonicMs()
    for (const lease of Array.from(this.#leases)) {
      this.#tellSlow(lease, nowMs)
      if (nowMs >= lease.deadlineMs) this.#lose(lease)
      else if (nowMs >= lease.renewAtMs) void this.#renewOne(lease)
    }
    this.#schedule()
  }

  #tellSlow(lease: Lease, nowMs: number): void {
    const slowMs = Math.max(SLOW_MIN_MS, SLOW_LEASES * this.#settings.leaseMs)
    if (lease.isToldSlow || lease.sinceMs === undefined || nowMs - lease.sinceMs < slowMs) return
    lease.isToldSlow = true
    this.#onSlow(slowMs)
  }

  async #renewOne(lease: Lease): Promise<void> {
    const { leaseMs, retentionMs } = this.#settings
    const { id, claimId } = lease
    const sentAtMs = this.#clock.monotonicMs()
    lease.renewAtMs = Number.POSITIVE_INFINITY
    try {
      const answer = await this.#renew({ op: 'renew', id, claimId, leaseMs, retentionMs })
      if (answer === 'ok') this.start(lease, sentAtMs)
      else this.#lose(lease)
    } catch {
      // The store's failure is an event already; the deadline decides when to give up.
      lease.renewAtMs = sentAtMs + leaseMs / TICK_PART
    }
  }

  #lose(lease: Lease): void {
    // A handler that has ended meanwhile settles for itself, and the store decides whose outcome counts.
    if (!this.#leases.delete(lease)) return
    lease.lose()
    this.#onLost(lease)
  }
}
