import { OncemqError } from '@oncemq/core'
import type { Clock } from '@oncemq/core/broker'
import { within } from '@oncemq/core/broker'

/** A client that was not answered by then may wait for ever. */
const TIME_MAX_MS = 15_000
const REMEDY = 'see that the broker can be reached, and give the client a time limit of its own'

export interface Limit<Value> {
  readonly clock: Clock
  /** What is expected, for the error. */
  readonly what: string
  readonly remedy?: string
  /** Given what comes too late. */
  readonly late?: (value: Value) => unknown
}

/** Bounds what a client may never answer. */
export function inTime<Value>(call: Promise<Value>, limit: Limit<Value>): Promise<Value> {
  const { clock, what, remedy = REMEDY, late } = limit
  const timeoutError = (): OncemqError => unanswered(what, remedy)
  const bound = { clock, timeoutMs: TIME_MAX_MS, kind: 'background', timeoutError } as const
  return within(() => call, { ...bound, ...(late && { late }) })
}

function unanswered(what: string, remedy: string): OncemqError {
  return new OncemqError(
    'ONCEMQ_BROKER_UNAVAILABLE',
    `expected ${what} within ${TIME_MAX_MS} ms, received no answer; ${remedy}`,
  )
}
