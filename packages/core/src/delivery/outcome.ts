import type { Claim, RunningClaim } from '../claims/claim.ts'
import type { WaitingPlace } from '../claims/waiters.ts'
import type { OncemqError } from '../errors.ts'
import type { Key } from './identity.ts'
import type { Position } from './position.ts'
import type { RejectReason, UnprotectedReason } from './reasons.ts'

export type { Key } from './identity.ts'

/** A message as the core sees it. Everything is read once, when it arrives. */
export interface Delivery {
  /**
   * The message's key; `undefined` where it has none, and then `onMissingKey` decides; an error where it
   * cannot be read.
   */
  readonly key: Key | OncemqError | undefined
  /** The queue or topic that it came from: part of its identity, unless `keyScope` is `'group'`. */
  readonly source?: string | undefined
  /**
   * How often the code that handled it has sent it on under the same key. Each hop has its own identity.
   * 0 by default.
   */
  readonly hops?: number | undefined
  /** The payload, only to be hashed: as fingerprint, or as key with `onMissingKey: 'hash'`. Never stored. */
  readonly body?: Uint8Array | undefined
  /**
   * All that its sender wrote, as bytes that are the same whenever it is delivered; its payload by default.
   * Only to be hashed: tells a message without a key from others with its payload.
   */
  readonly whole?: (() => Uint8Array) | undefined
  /** Stops waiting for a busy key or a store that is down: the answer is then `busy` or `store-down`. */
  readonly signal?: AbortSignal | undefined
  /** For how long it waits for a store that is down, in milliseconds. `outageHoldMs` by default. */
  readonly holdMs?: number | undefined
  /** The broker's own message, for strategies that read it. */
  readonly message?: unknown
  /**
   * For strategies that end several messages of an order together: lets the next one of its order start,
   * although this one has not ended. May be called once its handler has.
   */
  readonly passOn?: (() => void) | undefined
  /** When it was received for the first time, as far as is known, in milliseconds since 1970. */
  readonly firstAtMs?: number | undefined
  /**
   * Since when this process has held it, in milliseconds of the monotonic clock. What was held at the last
   * attempt of its key is the same event, and is rejected likewise when the key has been forgiven since.
   */
  readonly heldSinceMs?: number | undefined
  /** How many starts of its handler the broker knows of. Counts for a message that no record is kept of. */
  readonly startsBefore?: number | undefined
  /**
   * How many of them are returns of the broker's: where a record counts the starts, these are none. The
   * others were starts for certain, whatever the record says. Left out where they cannot be told apart.
   */
  readonly returnsBefore?: number | undefined
  /**
   * Whether it was delivered before, and nobody says how often: a message without a key is then told by a
   * record from its second start on, not only beyond `attemptsMax`.
   */
  readonly isUncounted?: boolean | undefined
  /** Whether its payload is hashed whatever the option `fingerprint` says, since its result is replayed. */
  readonly fingerprint?: boolean | undefined
  /** Where it stands in its log, from adapters of logs. */
  readonly position?: Position | undefined
  /** Where it waits for a busy key. */
  readonly place?: WaitingPlace | undefined
  /**
   * Called when its key is granted: its handler does not start before what this answers resolves. For what is
   * on its way to the broker, and would be there twice if the handler ended the process. Never rejects.
   */
  readonly beforeStart?: (() => Promise<void> | undefined) | undefined
}

/**
 * What a delivery is answered that asks for its key. Whoever is given a claim ends it, also one that has no
 * record: those that shall run alone wait for it.
 */
export type ClaimOutcome<Granted extends Claim = Claim> =
  | { readonly status: 'granted'; readonly claim: Granted }
  | (Unprotected & { readonly claim: Granted })
  | NotGranted

/** How asking for a key ends; what may run without protection has not taken its turn yet. */
export type Asked = { readonly status: 'granted'; readonly claim: RunningClaim } | Unprotected | NotGranted

/** The handler may run, without protection. */
export interface Unprotected {
  readonly status: 'unprotected'
  readonly reason: UnprotectedReason
  /** Which start this is, from 1, as the broker counts. */
  readonly attempt: number
}

/** Every answer after which the handler does not run. */
export type NotGranted =
  | { readonly status: 'duplicate'; readonly result: Uint8Array | undefined }
  /** Another worker holds the claim, and waiting came to its bound. */
  | { readonly status: 'busy'; readonly retryAfterMs: number }
  | {
      readonly status: 'rejected'
      readonly reason: RejectReason
      readonly error: OncemqError
      readonly attempt: number
      readonly forgive?: Forgive | undefined
    }
  /** The store does not answer. Nothing is known of the key. */
  | { readonly status: 'store-down'; readonly error: OncemqError }
  /** The store answers that it will not: a missing right, a broken schema. Nothing is known of the key. */
  | { readonly status: 'store-refused'; readonly error: OncemqError }
  /** This deduplicator or its store is closed, or was closed before the outcome was known. */
  | { readonly status: 'closed'; readonly error: OncemqError }

/**
 * Lets the key's attempts start afresh, so that a replay of the message runs. To be called when the message
 * is durably dead-lettered and not before: until then a further delivery of it is rejected without a start.
 * Never rejects; answers whether it could.
 */
export type Forgive = () => Promise<boolean>

/** How a delivery ended that went through `process`. */
export type ProcessOutcome =
  | {
      readonly status: 'completed'
      readonly result: Uint8Array | undefined
      /** False when the handler ran without protection. */
      readonly protected: boolean
    }
  /**
   * The handler succeeded, but the store did not answer before the lease ended; it is asked on in the
   * background.
   */
  | { readonly status: 'unconfirmed'; readonly result: Uint8Array | undefined }
  /** The handler ended, but another worker had taken over: its outcome counts, not this one. */
  | { readonly status: 'lost' }
  /** The handler threw, and may be started again. */
  | { readonly status: 'failed'; readonly final: false; readonly error: unknown; readonly attempt: number }
  /**
   * The handler threw a `PermanentError` (`permanent`), threw for the last time (`attempts`), or ended its
   * transaction by itself, so that its effect may be there (`transaction-ended`).
   */
  | {
      readonly status: 'failed'
      readonly final: true
      readonly error: unknown
      readonly attempt: number
      readonly reason: FinalReason
      readonly forgive?: Forgive | undefined
    }
  /** The database asked for the transaction to be run again, and again. It counts as an attempt. */
  | { readonly status: 'transaction-conflict'; readonly error: OncemqError; readonly attempt: number }
  /** What has to happen before has not happened yet: to be tried again. No attempt of the handler. */
  | { readonly status: 'early'; readonly error: OncemqError; readonly retryAfterMs: number }
  | NotGranted

export type FinalReason = 'permanent' | 'attempts' | 'transaction-ended'

/** What is to become of a delivery: the verbs that an adapter carries out. */
export type Settlement =
  | { readonly action: 'ack' }
  /** To be delivered again after a while. */
  | { readonly action: 'retry'; readonly delayMs: number; readonly reason: RetryReason }
  /** To be kept until the store answers: no outcome of the message's own. */
  | { readonly action: 'hold'; readonly reason: HoldReason }
  | { readonly action: 'dead-letter'; readonly reason: DeadLetterReason }
  /** To be given to another consumer: nobody here will handle it. */
  | { readonly action: 'give-back' }

/** Why a message is to be delivered again after a while. */
export type RetryReason = 'busy' | 'lost' | 'failed' | 'conflict' | 'unconfirmed' | 'early'
/** Why a message is kept until the store answers. */
export type HoldReason = 'store-down' | 'store-refused'
/** Why a message is put aside: it may not run, or its handler is not to be started again. */
export type DeadLetterReason = RejectReason | FinalReason
