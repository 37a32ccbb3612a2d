import type { Backoff } from '../time/backoff.ts'
import { backoffMs } from '../time/backoff.ts'
import type { ProcessOutcome, Settlement } from './outcome.ts'

/** What users decide of how a delivery is settled: see {@link settlementOf}. */
export interface SettlementPolicy {
  /** Waits between the attempts of a handler that throws. */
  readonly retry: Backoff
  readonly onUnconfirmed: 'ack' | 'retry'
}

/** How waits between attempts grow when nothing else is said: 1 s, 2 s, 4 s ... up to a minute. */
export const retryDefaults: Backoff = Object.freeze({ firstMs: 1000, factor: 2, maxMs: 60_000 })

/** Before a message whose outcome counts elsewhere is looked at again. */
const LOST_RETRY_MS = 1000

/** The table of what happens to a delivery, the same for every broker. Nothing is acked that is not done. */
export function settlementOf(outcome: ProcessOutcome, policy: SettlementPolicy): Settlement {
  switch (outcome.status) {
    case 'completed':
    case 'duplicate':
      return { action: 'ack' }
    case 'unconfirmed':
      if (policy.onUnconfirmed === 'ack') return { action: 'ack' }
      return { action: 'retry', delayMs: LOST_RETRY_MS, reason: 'unconfirmed' }
    case 'lost':
      return { action: 'retry', delayMs: LOST_RETRY_MS, reason: 'lost' }
    case 'busy':
    case 'early':
      return { action: 'retry', delayMs: outcome.retryAfterMs, reason: outcome.status }
    case 'failed':
      if (outcome.final) return { action: 'dead-letter', reason: outcome.reason }
      return { action: 'retry', delayMs: backoffMs(policy.retry, outcome.attempt - 1), reason: 'failed' }
    case 'transaction-conflict':
      return { action: 'retry', delayMs: backoffMs(policy.retry, outcome.attempt - 1), reason: 'conflict' }
    case 'rejected':
      return { action: 'dead-letter', reason: outcome.reason }
    case 'store-down':
    case 'store-refused':
      return { action: 'hold', reason: outcome.status }
    case 'closed':
      return { action: 'give-back' }
  }
}
