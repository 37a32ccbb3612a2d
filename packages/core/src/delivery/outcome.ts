import type { Claim } from '../claims/claim.ts'
import type { OncemqError } from '../errors.ts'
import type { RejectReason, UnprotectedReason } from './reasons.ts'

/** A message as the core sees it. Everything is read once, when it arrives. */
export interface Delivery {
  /** The message's key; `undefined` where it has none, and then `onMissingKey` decides. */
  readonly key: string | undefined
  /** The payload, only to be hashed: as fingerprint, or as key with `onMissingKey: 'hash'`. Never stored. */
  readonly body?: Uint8Array | undefined
  /** Stops waiting for a busy key or a store that is down: the answer is then `busy` or `unavailable`. */
  readonly signal?: AbortSignal | undefined
}

/** What a delivery is told when it asks for its key. */
export type ClaimOutcome =
  | { readonly status: 'granted'; readonly claim: Claim }
  | { readonly status: 'unprotected'; readonly reason: UnprotectedReason }
  | NotGranted

/** Every answer after which the handler does not run. */
export type NotGranted =
  | { readonly status: 'duplicate'; readonly result: Uint8Array | undefined }
  /** Another worker is at it, and waiting came to its bound. */
  | { readonly status: 'busy'; readonly retryAfterMs: number }
  | { readonly status: 'rejected'; readonly reason: RejectReason; readonly error: OncemqError }
  /** The store did not answer, or this deduplicator is closed. Nothing is known of the key. */
  | { readonly status: 'unavailable'; readonly retryAfterMs: number; readonly error: OncemqError }

/** How a delivery ended that went through `process`. */
export type ProcessOutcome =
  | {
      readonly status: 'completed'
      readonly result: Uint8Array | undefined
      /** False when the handler ran without protection. */
      readonly protected: boolean
    }
  /**
   * The handler succeeded, but the store could not be told before the lease ended; it is still being told.
   */
  | { readonly status: 'unconfirmed'; readonly result: Uint8Array | undefined }
  /** The handler ended, but another worker had taken over: its outcome counts, not this one. */
  | { readonly status: 'lost' }
  /** The handler threw, and may be started again. */
  | { readonly status: 'failed'; readonly final: false; readonly error: unknown; readonly attempt: number }
  /** The handler threw a `PermanentError`, or for the last time. */
  | {
      readonly status: 'failed'
      readonly final: true
      readonly error: unknown
      readonly attempt: number
      readonly reason: 'permanent' | 'attempts'
    }
  | NotGranted

/** What the broker is to be told: three verbs for every adapter. */
export type Settlement =
  | { readonly action: 'ack' }
  | { readonly action: 'retry'; readonly delayMs: number; readonly reason: RetryReason }
  | { readonly action: 'dead-letter'; readonly reason: DeadLetterReason }

export type RetryReason = 'busy' | 'failed' | 'unavailable' | 'unconfirmed'
export type DeadLetterReason = RejectReason | 'permanent'
