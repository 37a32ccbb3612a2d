import { OncemqError } from '../errors.ts'
import type { Forgive, NotGranted } from './outcome.ts'

/**
 * How many starts a message has whose starts all end with their process; those above `attemptsMax` are alone.
 * Where there is no record, starts are what the broker counts: its returns, some of which were none. There it
 * gets as many again, so that it is not given up for them without having been alone.
 */
export function startsMax(attemptsMax: number, hasRecord: boolean): number {
  return hasRecord ? attemptsMax + 1 : 2 * attemptsMax + 1
}

/** The message was started as often as is allowed. */
export function rejectedForAttempts(attempt: number, attemptsMax: number, forgive?: Forgive): NotGranted {
  const error = new OncemqError(
    'ONCEMQ_ATTEMPTS_EXHAUSTED',
    `expected at most ${attemptsMax} attempts, received one more; ` +
      `see why the handler did not finish, then send the message again`,
  )
  return { status: 'rejected', reason: 'attempts', error, attempt, forgive }
}

/** The deduplicator is closed: nothing starts here any more. */
export function closed(): NotGranted {
  const error = new OncemqError('ONCEMQ_CLOSED', 'the deduplicator is closed; make a new one')
  return { status: 'closed', error }
}

/** The key is known with another payload. */
export function conflicted(attempt: number): NotGranted {
  const error = new OncemqError(
    'ONCEMQ_CONFLICT',
    'expected the payload that this key is known with, received another one; ' +
      'give each business event a key of its own, or set onConflict',
  )
  return { status: 'rejected', reason: 'conflict', error, attempt }
}
