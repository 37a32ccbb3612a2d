import type { Finish } from './finish.ts'
import type { Settings } from './options.ts'
import { nameOf } from './connection.ts'
import { boundWaits } from './lock-waits.ts'

/** The savepoint before each handler of a batch. */
const MEMBER = 'oncemq_member'

/** The statements around a handler, and their settings. */
export interface Frame {
  readonly where: string
  readonly timeoutMs: number
  readonly transactionIdleMs: number
  readonly clock: Settings['clock']
  /** Answers the transaction's number. */
  readonly begin: string
  /** That of a batch, with the first savepoint. Answers the waits for locks, too, after a blank. */
  readonly beginBatch: string
  readonly finish: Finish
}

/** The transaction's own number, by which it is known again, is assigned at once. */
export function frameOf(settings: Settings, finish: Finish): Frame {
  const { clock, isolation, timeoutMs, transactionIdleMs } = settings
  const number = 'SELECT pg_current_xact_id()::text'
  const begin =
    `BEGIN ISOLATION LEVEL ${isolation}; ${number} AS answer, ` +
    `set_config('idle_in_transaction_session_timeout', '${transactionIdleMs}', true)`
  const numberAndWait = `${number} || ' ' || current_setting('lock_timeout') AS answer`
  const beginBatch = `${begin}; SAVEPOINT ${MEMBER}; ${numberAndWait}`
  return { where: nameOf(settings), timeoutMs, transactionIdleMs, clock, begin, beginBatch, finish }
}

/** Keeps what a handler of a batch wrote, and sets the savepoint and the waits for locks of the next one. */
export const keepSql = (lockWait: string): string =>
  `${boundWaits(lockWait)}; RELEASE SAVEPOINT ${MEMBER}; SAVEPOINT ${MEMBER}`

export const UNDO = `ROLLBACK TO SAVEPOINT ${MEMBER}`

/** How the server refuses what needs a savepoint or a transaction that is not there. */
export const NO_SAVEPOINT: ReadonlySet<string | undefined> = new Set(['3B001', '25P01'])
