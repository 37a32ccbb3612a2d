import type { CompleteUpdate, UpdateAnswer } from '../store/contract.ts'

/**
 * How a claim ended for a handler that succeeded. `unconfirmed`: the store could not be told before the lease
 * ended, and is still being told in the background. `closed`: the deduplicator was closed before the store
 * had answered; whether the key is done is not known, and the message has to be delivered again.
 */
export type Completion = 'completed' | 'lost' | 'unconfirmed' | 'closed'

/**
 * Why a key is given back. `failed`: the attempt counts. `spent`: no attempt is left, and a further delivery
 * is rejected, until the message is durably dead-lettered and the key forgiven. `permanent`: attempts start
 * afresh. `unstarted`: nothing counts.
 */
export type ReleaseReason = 'failed' | 'spent' | 'permanent' | 'unstarted'

/**
 * Applies a completion together with a handler's writes; without one, what it answers commits the writes
 * alone.
 */
export type Commit = (
  completion: (result: Uint8Array | undefined) => CompleteUpdate | undefined,
) => Promise<UpdateAnswer>

/** One start of a handler as a strategy runs it: under a claim, or without one. */
export interface Start {
  /** The delivery's key, as it arrived; `undefined` for one that has none. */
  readonly key: string | undefined
  /** The id of its record, also where none is kept; `undefined` without a key. */
  readonly id: string | undefined
  /** Rises with each grant of the key; 0 without a claim. */
  readonly epoch: number
  /** Which start this is, from 1. */
  readonly attempt: number
  /** Aborts when the lease is lost or the handler's time is over. */
  readonly signal: AbortSignal
  /** Whether the lease is lost: whatever the handler does now, another worker's outcome counts. */
  readonly isLost: boolean
  /** Whether the store said, at the end, that the claim was another worker's by then. */
  readonly takenOver: boolean
  /** Tells the handler to stop, as a lost lease does. */
  abort(reason: unknown): void
  /** See the claim's method of the same name. */
  complete(result?: Uint8Array): Promise<Completion>
  /** See the claim's method of the same name. */
  release(reason: ReleaseReason): Promise<void>
  /** See the claim's method of the same name. */
  forgive(): Promise<boolean>
  /** Ends the start by a completion that `commit` makes durable together with the handler's writes. */
  commit(commit: Commit): Promise<Completion>
}
