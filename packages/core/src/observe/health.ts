import type { ErrorCode } from '../errors.ts'

/** How a deduplicator is, as far as is known without asking anybody: for readiness probes. */
export interface Health {
  /** Whether it is open, its store is up, and it is not being closed: whether it can handle messages now. */
  readonly isReady: boolean
  /** `unopened`: not asked yet, or never answered. */
  readonly store: 'unopened' | 'up' | 'down' | 'closed'
  /** Since when the store is so, in milliseconds since 1970. */
  readonly sinceMs: number
  /** How many messages and `run`s are worked on. */
  readonly inFlight: number
  /** For how long the one that is worked on longest, in milliseconds. */
  readonly longestMs: number
  /** How many wait for a busy key or for the store. */
  readonly waiting: number
  /** The last failure of the store, also when it is up again. Neither a payload nor a credential is in it. */
  readonly lastError: LastError | undefined
}

/** A failure of the store, as {@link Health} shows it. */
export interface LastError {
  readonly code: ErrorCode
  readonly message: string
  /** What the store was asked: `claim`, `update`, `open` and so on. */
  readonly operation: string
  /** Milliseconds since 1970. */
  readonly atMs: number
}

interface Parts {
  readonly isOpen: boolean
  readonly isClosed: boolean
  /** When it was made, opened or closed. */
  readonly changedAtMs: number
  readonly outage: {
    readonly error: unknown
    readonly waiting: number
    /** When the store went down or came back. */
    readonly changedAtMs: number | undefined
  }
  readonly load: Pick<Health, 'inFlight' | 'longestMs' | 'waiting'>
  /** How many wait for it to be opened. */
  readonly opening: number
  readonly lastError: LastError | undefined
}

export function healthOf({ changedAtMs, isOpen, lastError, load, opening, outage, isClosed }: Parts): Health {
  const open = isOpen ? 'up' : 'unopened'
  const store = isClosed ? 'closed' : outage.error === undefined ? open : 'down'
  const sinceMs = Math.max(changedAtMs, outage.changedAtMs ?? changedAtMs)
  const waiting = load.waiting + outage.waiting + opening
  return Object.freeze({ isReady: store === 'up', store, sinceMs, ...load, waiting, lastError })
}
