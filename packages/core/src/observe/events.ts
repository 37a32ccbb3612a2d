import type { OncemqError } from '../errors.ts'
import type { RejectReason, UnprotectedReason } from '../delivery/reasons.ts'
import type { Finding } from '../store/contract.ts'

/**
 * What a deduplicator tells. Each event is also published on the diagnostics channel `oncemq:<name>`. `key`:
 * as it arrived; `undefined` for a message without one, and where it runs without protection.
 */
export interface Events {
  granted: { key: string | undefined; epoch: number; attempt: number }
  /** `epoch`: 0 and perhaps no key, for ways without a record. */
  completed: { key: string | undefined; epoch: number }
  /**
   * `memory`: answered without asking the store. `constraint`, `state`: told by the user's own data, for ways
   * without a record. `position`: told by how far its log is done.
   */
  duplicate: { key: string | undefined; source: 'store' | 'memory' | 'constraint' | 'state' | 'position' }
  /** Given back to the broker, since another worker holds the claim for longer than the waiting bound. */
  busy: { key: string | undefined; retryAfterMs: number }
  /** The lease ended or was taken over while the handler ran. */
  lost: { key: string | undefined; epoch: number }
  /** The handler threw. `final`: it will not be started again. */
  failed: { key: string | undefined; attempt: number; final: boolean; error: unknown }
  conflict: { key: string | undefined }
  rejected: { key: string | undefined; reason: RejectReason }
  /**
   * The message is durably put aside, and will not be started again. `source`: its queue or topic.
   * `errorName`: that of the last error, where there was one.
   */
  deadLettered: {
    source: string | undefined
    reason: string
    attempt: number
    errorName?: string | undefined
  }
  /** The handler ran, or runs, without protection. */
  unprotected: { key: string | undefined; reason: UnprotectedReason }
  /** The handler succeeded, but the store did not answer within the lease. */
  unconfirmed: { key: string | undefined; epoch: number }
  storeError: { operation: string; entries: number; error: OncemqError }
  /** The store went down; claims are held. */
  outage: { error: OncemqError }
  recovered: { downMs: number }
  /** The store's set-up deserves a look. */
  finding: Finding
  /** Something that users should know and that is no outcome. */
  warning: { message: string }
}

/** The name of one of the {@link Events}. */
export type EventName = keyof Events

/** The names of all events. */
export const eventNames = Object.freeze([
  'granted',
  'completed',
  'duplicate',
  'busy',
  'lost',
  'failed',
  'conflict',
  'rejected',
  'deadLettered',
  'unprotected',
  'unconfirmed',
  'storeError',
  'outage',
  'recovered',
  'finding',
  'warning',
] as const satisfies readonly EventName[])

/** Where events go. */
export interface EventSink {
  /** Counts the event; builds it only if someone listens. */
  emit<Name extends EventName>(name: Name, build: () => Events[Name]): void
}
