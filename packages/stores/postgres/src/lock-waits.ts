import type { Settings } from './options.ts'

/** How long statements wait for rows that others have locked, in milliseconds, until they fail by 55P03. */
export interface LockWaits {
  /** A claim answers that the record is busy, and must not hold up the other claims of its batch. */
  readonly claimMs: number
  /** Of several updates the core then sends each half by itself. */
  readonly manyMs: number
  readonly loneMs: number
}

const CLAIM_WAIT_MAX_MS = 50
const MANY_WAIT_MAX_MS = 500
/** The server gives up a little before the client does, so that no statement is left behind. */
const SERVER_SHARE = 0.8

export function lockWaitsOf({ timeoutMs }: Pick<Settings, 'timeoutMs'>): LockWaits {
  const loneMs = Math.max(1, Math.floor(timeoutMs * SERVER_SHARE))
  return {
    claimMs: Math.min(CLAIM_WAIT_MAX_MS, loneMs),
    manyMs: Math.min(MANY_WAIT_MAX_MS, loneMs),
    loneMs,
  }
}

/**
 * A condition that always holds and bounds the waits for locks, for this transaction alone. It is computed
 * before any row is locked. The server gives up by itself, also behind a pooler, so that a row whose owner
 * vanished does not collect sessions that wait for it.
 */
export const boundedWaits = (milliseconds: number): string =>
  `(SELECT set_config('lock_timeout', '${milliseconds}', true)) IS NOT NULL`

/** The same as a statement of its own, where several stand in one message. It costs the server much less. */
export const boundWaits = (wait: number | string): string => `SET LOCAL lock_timeout = '${wait}'`

/**
 * A condition that always holds. The commit of this transaction alone is answered before it is on the disk or
 * at a standby; whatever is committed after it gets there after it.
 */
export const unawaitedCommit = `(SELECT set_config('synchronous_commit', 'off', true)) IS NOT NULL`
