import type { Finish } from './finish.ts'
import type { Settings } from './options.ts'
import { nameOf } from './connection.ts'

/** The savepoint before each handler of a batch. */
const MEMBER = 'oncemq_member'
const LOCK_WAIT = 'lock_timeout'
const LOCK_WAIT_BEFORE = 'oncemq.lock_timeout'

/** The statements around a handler, and their settings. */
export interface Frame {
  readonly where: string
  readonly timeoutMs: number
  readonly transactionIdleMs: number
  readonly clock: Settings['clock']
  readonly begin: string
  /** Begins the transaction of a batch, with a savepoint for the first of its handlers. */
  readonly beginBatch: string
  readonly finish: Finish
}

/** The transaction's own number, by which it is known again, is assigned at once. */
export function frameOf(settings: Settings, finish: Finish): Frame {
  const { clock, isolation, timeoutMs, transactionIdleMs } = settings
  const number = 'SELECT pg_current_xact_id()::text AS answer'
  const begin =
    `BEGIN ISOLATION LEVEL ${isolation}; ${number}, ` +
    `set_config('idle_in_transaction_session_timeout', '${transactionIdleMs}', true)`
  const keep = `SELECT set_config('${LOCK_WAIT_BEFORE}', current_setting('${LOCK_WAIT}'), true)`
  const beginBatch = `${begin}; ${keep}; SAVEPOINT ${MEMBER}; ${number}`
  return { where: nameOf(settings), timeoutMs, transactionIdleMs, clock, begin, beginBatch, finish }
}

/** Keeps what a handler of a batch wrote, with the waits for locks as they were: the next one's follows. */
export const KEEP =
  `SELECT set_config('${LOCK_WAIT}', current_setting('${LOCK_WAIT_BEFORE}'), true); ` +
  `RELEASE SAVEPOINT ${MEMBER}; SAVEPOINT ${MEMBER}`

export const UNDO = `ROLLBACK TO SAVEPOINT ${MEMBER}`

/** How the server refuses what needs a savepoint or a transaction that is not there. */
export const NO_SAVEPOINT: ReadonlySet<string | undefined> = new Set(['3B001', '25P01'])
