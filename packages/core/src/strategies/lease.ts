import type { RunningClaim } from '../claims/claim.ts'
import { contextOf } from '../delivery/context.ts'
import type { ProcessOutcome } from '../delivery/outcome.ts'
import { bounded } from './bounded.ts'
import { completed } from './completed.ts'
import { failed } from './failure.ts'
import type { Handler, Strategy, StrategyServices } from './strategy.ts'

/**
 * For effects outside of the store's database: claim, run, complete. A worker that dies between the effect
 * and the record of it leaves an effect of which nobody knows, and the handler runs again.
 */
export function lease(): Strategy {
  return strategy
}

const strategy: Strategy = Object.freeze({
  name: 'lease',
  allowsDropIn: true,
  runsWithoutClaim: true,
  defaultHandlerTimeoutMs: () => 0,
  check: () => undefined,
  run,
})

async function run(
  claim: RunningClaim,
  handler: Handler,
  services: StrategyServices,
): Promise<ProcessOutcome> {
  const { clock, handlerTimeoutMs } = services
  let result: Uint8Array | undefined
  try {
    const abort = (reason: unknown): void => claim.abort(reason)
    const context = contextOf(claim, undefined)
    result = (await bounded(() => handler(context), { clock, handlerTimeoutMs, abort })) ?? undefined
  } catch (error) {
    return failed(claim, error, services)
  }
  return completed(await claim.complete(result), result)
}
