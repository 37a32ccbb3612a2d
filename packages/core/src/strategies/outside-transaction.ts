import type { Start } from '../claims/start.ts'
import { contextOf } from '../delivery/context.ts'
import type { ProcessOutcome } from '../delivery/outcome.ts'
import { bounded } from './bounded.ts'
import { completed } from './completed.ts'
import { failed } from './failure.ts'
import type { Explain, Handler, StrategyServices } from './strategy.ts'

/** Runs a handler that writes with what it has itself, and completes afterwards. Never rejects. */
export async function outsideTransaction<Tx>(
  start: Start,
  handler: Handler<Tx>,
  services: StrategyServices,
  explain?: Explain<Tx>,
): Promise<ProcessOutcome> {
  const { clock, handlerTimeoutMs } = services
  let result: Uint8Array | undefined
  try {
    const abort = (reason: unknown): void => start.abort(reason)
    const context = contextOf(start, undefined as Tx)
    result = (await bounded(() => handler(context), { clock, handlerTimeoutMs, abort })) ?? undefined
  } catch (error) {
    return (await explain?.(error, undefined)) ?? failed(start, error, services)
  }
  return completed(await start.complete(result), result)
}
