import type { Claim, Completion } from '../claims/claim.ts'
import { contextOf } from './context.ts'
import type { HandlerContext } from './context.ts'
import { isOncemqError } from '../errors.ts'
import type { OncemqError } from '../errors.ts'
import type { EventHub } from '../observe/events.ts'
import type { ClaimOutcome, ProcessOutcome } from './outcome.ts'

/**
 * Does the work. What it answers is kept with the record and given to duplicates: bytes, or nothing. A throw
 * gives the key back for another attempt, a `PermanentError` for none.
 */
export type Handler<Tx = undefined> = (
  context: HandlerContext<Tx>,
) => Promise<Uint8Array | void> | Uint8Array | void

/** Runs the handler in a transaction that commits with the claim's completion. */
export type Commit<Tx> = (
  claim: Claim,
  work: (tx: Tx) => Promise<Uint8Array | undefined>,
) => Promise<Completion>

export interface HandlingSettings<Tx> {
  readonly attemptsMax: number
  readonly events: EventHub
  /** Set with strategy `transactional`. */
  readonly commit: Commit<Tx> | undefined
}

/** Runs the handler as the answer to its claim says. Never rejects. */
export function handle<Tx>(
  outcome: ClaimOutcome,
  handler: Handler<Tx>,
  settings: HandlingSettings<Tx>,
): Promise<ProcessOutcome> | ProcessOutcome {
  if (outcome.status === 'granted') return handleGranted(outcome.claim, handler, settings)
  if (outcome.status === 'unprotected') return handleUnprotected(handler, settings)
  return outcome
}

async function handleGranted<Tx>(
  claim: Claim,
  handler: Handler<Tx>,
  settings: HandlingSettings<Tx>,
): Promise<ProcessOutcome> {
  let result: Uint8Array | undefined
  try {
    const { commit } = settings
    if (commit !== undefined) return await handleTogether(claim, handler, commit)
    result = (await handler(contextOf(claim, undefined as Tx))) ?? undefined
  } catch (error) {
    return failed(claim, error, settings)
  }
  return outcomeOf(await claim.complete(result), result)
}

async function handleTogether<Tx>(
  claim: Claim,
  handler: Handler<Tx>,
  commit: Commit<Tx>,
): Promise<ProcessOutcome> {
  let result: Uint8Array | undefined
  const completion = await commit(claim, async (tx) => {
    result = (await handler(contextOf(claim, tx))) ?? undefined
    return result
  })
  return outcomeOf(completion, result)
}

function outcomeOf(completion: Completion, result: Uint8Array | undefined): ProcessOutcome {
  if (completion === 'completed') return { status: 'completed', result, protected: true }
  return completion === 'lost' ? { status: 'lost' } : { status: 'unconfirmed', result }
}

async function handleUnprotected<Tx>(
  handler: Handler<Tx>,
  { events }: HandlingSettings<Tx>,
): Promise<ProcessOutcome> {
  try {
    const result = (await handler(contextOf(undefined, undefined as Tx))) ?? undefined
    return { status: 'completed', result, protected: false }
  } catch (error) {
    const final = isPermanent(error)
    events.emit('failed', () => ({ key: undefined, attempt: 1, final, error }))
    const outcome = { status: 'failed', error, attempt: 1 } as const
    return final ? { ...outcome, final, reason: 'permanent' } : { ...outcome, final }
  }
}

async function failed<Tx>(
  claim: Claim,
  error: unknown,
  settings: HandlingSettings<Tx>,
): Promise<ProcessOutcome> {
  const { key, attempt } = claim
  if (settings.commit !== undefined && isStoresFault(error)) {
    settings.events.emit('storeError', () => ({ operation: 'transaction', entries: 1, error }))
    await claim.release('unstarted')
    return { status: 'unavailable', retryAfterMs: 1000, error }
  }
  const permanent = isPermanent(error)
  const isLast = permanent || attempt >= settings.attemptsMax
  await claim.release(isLast ? 'permanent' : 'failed')
  // Whoever took over decides what becomes of the message.
  const final = isLast && !claim.takenOver
  settings.events.emit('failed', () => ({ key, attempt, final, error }))
  if (claim.takenOver) return { status: 'lost' }
  if (!final) return { status: 'failed', final, error, attempt }
  return { status: 'failed', final, error, attempt, reason: permanent ? 'permanent' : 'attempts' }
}

function isPermanent(error: unknown): boolean {
  return isOncemqError(error) && error.code === 'ONCEMQ_PERMANENT'
}

/** A transaction that the database could not open or commit is no failed attempt of the handler. */
function isStoresFault(error: unknown): error is OncemqError {
  return isOncemqError(error) && error.retryable
}
