import type { Start } from '../claims/start.ts'
import type { FinalReason, ProcessOutcome } from '../delivery/outcome.ts'
import { isOncemqError } from '../errors.ts'
import type { StrategyServices } from './strategy.ts'

/** Whether the handler said that a retry is of no use. */
export function isPermanent(error: unknown): boolean {
  return isOncemqError(error) && error.code === 'ONCEMQ_PERMANENT'
}

/** Ends the start of a handler that threw: for another attempt, or for good. */
export async function failed(
  start: Start,
  error: unknown,
  { attemptsMax, events }: Pick<StrategyServices, 'attemptsMax' | 'events'>,
): Promise<ProcessOutcome> {
  const { key, attempt } = start
  const reason = finalReason(error, attempt >= attemptsMax)
  // Spent until the message is durably dead-lettered: were it delivered again before, it would run once more.
  await start.release(reason === undefined ? 'failed' : 'spent')
  // Whoever took over decides what becomes of the message.
  if (start.takenOver) {
    events.emit('failed', () => ({ key, attempt, final: false, error }))
    return { status: 'lost' }
  }
  events.emit('failed', () => ({ key, attempt, final: reason !== undefined, error }))
  if (reason === undefined) return { status: 'failed', final: false, error, attempt }
  return { status: 'failed', final: true, error, attempt, reason, forgive: () => start.forgive() }
}

function finalReason(error: unknown, isLast: boolean): FinalReason | undefined {
  if (isPermanent(error)) return 'permanent'
  return isLast ? 'attempts' : undefined
}
