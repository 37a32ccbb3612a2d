import { OncemqError } from '../errors.ts'
import type { Forgive, NotGranted } from './outcome.ts'

/** Few, since brokers delete what they have returned a few times more. */
const UNRECORDED_ALONE_MAX = 3

/**
 * How many starts a message has whose starts all end with their process; those above `attemptsMax` are alone.
 * Where there is no record, starts are what the broker counts: its returns, some of which were none. There it
 * may be alone more than once, so that it is not given up for them without having been alone.
 */
export function startsMax(attemptsMax: number, hasRecord: boolean): number {
  return attemptsMax + (hasRecord ? 1 : UNRECORDED_ALONE_MAX)
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

/** Nothing would count the next starts of a message, and each may end its process. */
export function uncountable(starts: number): NotGranted {
  const error = new OncemqError(
    'ONCEMQ_ATTEMPTS_EXHAUSTED',
    'expected a message that can be sent again where nothing else counts its starts, received one that ' +
      'cannot; see its headers and properties, or give it a key',
  )
  return { status: 'rejected', reason: 'attempts', error, attempt: starts }
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
      'give each business event its own key, or set onConflict',
  )
  return { status: 'rejected', reason: 'conflict', error, attempt }
}

/** The store answered so often when the lease was as good as over. */
export function lateAnswers(times: number): OncemqError {
  return new OncemqError(
    'ONCEMQ_LEASE_LOST',
    `expected the store's answer within the lease, received it later ${times} times; ` +
      `raise leaseMs, or look at what blocks the event loop or the store`,
  )
}

/** The strategy has no claims to ask for. */
export function withoutClaims(strategy: string): OncemqError {
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    `claim: expected a strategy with claims, received '${strategy}', whose handler does not ack; ` +
      `use consume, or strategy 'lease'`,
  )
}

/** The strategy takes no logs. */
export function withoutLogs(strategy: string): OncemqError {
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    `takeLog: expected a strategy that follows logs, received '${strategy}'; see followsLog`,
  )
}

/** It cannot be opened again. */
export function usedAfterClose(): OncemqError {
  return new OncemqError(
    'ONCEMQ_CLOSED',
    'expected an open deduplicator, received a closed one; make a new one',
  )
}
