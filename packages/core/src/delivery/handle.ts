import type { RunningClaim } from '../claims/claim.ts'
import type { Isolation } from '../claims/isolation.ts'
import { bounded } from '../strategies/bounded.ts'
import { isPermanent } from '../strategies/failure.ts'
import type { Handler, Strategy, StrategyServices } from '../strategies/strategy.ts'
import { contextOf } from './context.ts'
import type { ClaimOutcome, ProcessOutcome } from './outcome.ts'
import { closed, rejectedForAttempts, startsMax } from './refusals.ts'

export interface HandleServices<Tx> extends StrategyServices {
  readonly strategy: Strategy<Tx>
  readonly isolation: Isolation
  /** Aborts at close. */
  readonly closing: AbortSignal
}

/** Runs the handler as the answer to its claim says. Never rejects. */
export function handle<Tx>(
  outcome: ClaimOutcome<RunningClaim>,
  handler: Handler<Tx>,
  services: HandleServices<Tx>,
): Promise<ProcessOutcome> | ProcessOutcome {
  if (outcome.status === 'granted') return services.strategy.run(outcome.claim, handler, services)
  if (outcome.status === 'unprotected') return handleUnclaimed(outcome.attempt, handler, services)
  return outcome
}

/** A message without a record, whose starts the broker counts. As with one, its last starts are alone. */
async function handleUnclaimed<Tx>(
  attempt: number,
  handler: Handler<Tx>,
  services: HandleServices<Tx>,
): Promise<ProcessOutcome> {
  const { attemptsMax, closing, events, isolation } = services
  if (attempt > startsMax(attemptsMax, false)) {
    events.emit('rejected', () => ({ key: undefined, reason: 'attempts' }))
    return rejectedForAttempts(attempt - 1, attemptsMax)
  }
  const isSuspect = attempt > attemptsMax
  const endTurn = isSuspect ? await isolation.alone(closing) : undefined
  while (!isSuspect && isolation.isReserved) if (!(await isolation.shared(closing))) break
  try {
    if (closing.aborted) return closed()
    isolation.started()
    return await runUnclaimed(attempt, handler, services).finally(() => isolation.ended())
  } finally {
    endTurn?.()
  }
}

async function runUnclaimed<Tx>(
  attempt: number,
  handler: Handler<Tx>,
  { attemptsMax, clock, events, handlerTimeoutMs }: HandleServices<Tx>,
): Promise<ProcessOutcome> {
  const controller = new AbortController()
  const abort = (reason: unknown): void => controller.abort(reason)
  try {
    const context = contextOf(undefined, undefined as Tx, { attempt, signal: controller.signal })
    const result = (await bounded(() => handler(context), { clock, handlerTimeoutMs, abort })) ?? undefined
    return { status: 'completed', result, protected: false }
  } catch (error) {
    const permanent = isPermanent(error)
    const final = permanent || attempt >= attemptsMax
    events.emit('failed', () => ({ key: undefined, attempt, final, error }))
    if (!final) return { status: 'failed', final, error, attempt }
    return { status: 'failed', final, error, attempt, reason: permanent ? 'permanent' : 'attempts' }
  }
}
