import type { Start } from '../../claims/start.ts'
import type { ProcessOutcome } from '../../delivery/outcome.ts'
import type { StateReason } from '../../delivery/reasons.ts'
import { OncemqError } from '../../errors.ts'
import type { StrategyServices } from '../strategy.ts'

/** Why a row was not moved. */
export type Verdict =
  | { readonly as: 'behind' | 'impossible'; readonly transition: string }
  | { readonly as: 'missing-row' | 'unfit-id' }
  | { readonly as: 'unreadable'; readonly error: OncemqError }

export interface Policy {
  readonly onMissingRow: 'wait' | 'dead-letter' | 'ack'
  readonly earlyForMs: number
  /** When the message was received for the first time, as far as is known, in milliseconds since 1970. */
  readonly firstAtMs: number | undefined
}

/** Ends a transaction whose row was not moved, and whose handler has not run. */
export class NotMoved extends Error {
  readonly verdict: Verdict

  constructor(verdict: Verdict) {
    super('the row was not moved')
    this.verdict = verdict
  }

  static {
    this.prototype.name = 'NotMoved'
  }
}

/** Waits grow with the age of the message. */
const WAIT_MIN_MS = 500
const WAIT_MAX_MS = 30_000

/** What becomes of a message whose row was not moved. No start of its handler counts. */
export async function judged(
  verdict: Verdict,
  start: Start,
  services: StrategyServices,
  policy: Policy,
): Promise<ProcessOutcome> {
  switch (verdict.as) {
    case 'behind':
      return early(behind(verdict.transition), 'too-early', start, services, policy)
    case 'missing-row':
      if (policy.onMissingRow === 'wait') return early(rowMissing(), 'missing-row', start, services, policy)
      return rejected('missing-row', rowMissing(), start, services)
    case 'impossible':
      return rejected('impossible', impossible(verdict.transition), start, services)
    case 'unfit-id':
      return rejected('unreadable', unfitId(), start, services)
    case 'unreadable':
      return rejected('unreadable', verdict.error, start, services)
  }
}

async function early(
  error: OncemqError,
  reason: StateReason,
  start: Start,
  services: StrategyServices,
  { earlyForMs, firstAtMs }: Policy,
): Promise<ProcessOutcome> {
  const nowMs = services.clock.nowMs()
  const ageMs = nowMs - (firstAtMs ?? nowMs)
  if (ageMs >= earlyForMs) return rejected(reason, error, start, services)
  await start.release('unstarted')
  const retryAfterMs = Math.min(WAIT_MAX_MS, Math.max(WAIT_MIN_MS, Math.floor(ageMs / 2)))
  return { status: 'early', error, retryAfterMs }
}

async function rejected(
  reason: StateReason,
  error: OncemqError,
  start: Start,
  { events }: StrategyServices,
): Promise<ProcessOutcome> {
  const { key, attempt } = start
  await start.release('spent')
  if (start.takenOver) return { status: 'lost' }
  events.emit('rejected', () => ({ key, reason }))
  const forgive = (): Promise<boolean> => start.forgive()
  return { status: 'rejected', reason, error, attempt: attempt - 1, forgive }
}

function behind(transition: string): OncemqError {
  return new OncemqError(
    'ONCEMQ_STATE_EARLY',
    `expected the row in a state from which '${transition}' leads, received one before; ` +
      `see what became of the message that should have moved it`,
  )
}

function impossible(transition: string): OncemqError {
  return new OncemqError(
    'ONCEMQ_STATE_IMPOSSIBLE',
    `expected the row in a state from which '${transition}' leads, or past it, received another one; ` +
      `see how the row came there, and decide by hand`,
  )
}

function rowMissing(): OncemqError {
  return new OncemqError(
    'ONCEMQ_ROW_MISSING',
    'expected a row of the id that the message names, received none; ' +
      'see whether it was created or removed, or set onMissingRow',
  )
}

function unfitId(): OncemqError {
  return new OncemqError(
    'ONCEMQ_MESSAGE_UNREADABLE',
    'read: expected an id that the column can hold, received another; ' +
      'correct the producer, or what read answers',
  )
}
