import type { RunningClaim } from '../claims/claim.ts'
import type { Isolation } from '../claims/isolation.ts'
import { bounded } from '../strategies/bounded.ts'
import { isPermanent } from '../strategies/failure.ts'
import type { Handler, Strategy, StrategyServices } from '../strategies/strategy.ts'
import { contextOf } from './context.ts'
import type { ClaimOutcome, ProcessOutcome } from './outcome.ts'
import { rejectedForAttempts, startsMax } from './refusals.ts'

export interface HandleServices<Tx> extends StrategyServices {
  readonly strategy: Strategy<Tx>
  readonly isolation: Isolation
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

/** A message without a record, whose starts the broker counts. As with a record, its last starts are alone. */
async function handleUnclaimed<Tx>(
  attempt: number,
  handler: Handler<Tx>,
  services: HandleServices<Tx>,
): Promise<ProcessOutcome> {
  const { attemptsMax, isolation } = services
  if (attempt > startsMax(attemptsMax, false)) return rejectedForAttempts(attempt - 1, attemptsMax)
  const letOthersGo = attempt > attemptsMax ? await isolation.alone(undefined) : undefined
  if (letOthersGo === undefined && isolation.isReserved) await isolation.shared(undefined)
  isolation.started()
  try {
    return await runUnclaimed(attempt, handler, services)
  } finally {
    isolation.ended()
    letOthersGo?.()
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
