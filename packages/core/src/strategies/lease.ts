import { outsideTransaction } from './outside-transaction.ts'
import type { Strategy } from './strategy.ts'

/**
 * For effects outside of the store's database: claim, run, complete. A worker that dies between the effect
 * and the record of it leaves an effect of which nobody knows, and the handler runs again.
 */
export function lease(): Strategy {
  return strategy
}

const strategy: Strategy = Object.freeze({
  name: 'lease',
  needsDurableClaims: true,
  usesRecords: true,
  allowsDropIn: true,
  runsWithoutClaim: true,
  defaultHandlerTimeoutMs: () => 0,
  check: () => undefined,
  run: (start, handler, services) => outsideTransaction(start, handler, services),
} satisfies Strategy)
