import type { Outcome } from './act.ts'
import type { Cause } from './causes.ts'
import { payments } from './payments.ts'

/** A cause with what it did without oncemq and with it. */
export interface Scenario {
  readonly cause: Cause
  readonly broker: string
  readonly without: Outcome
  readonly with: Outcome
}

/** For scripts. `deliveries` are those of the run with oncemq. */
export function scenariosAsJson(scenarios: readonly Scenario[]): string {
  const rows = scenarios.map(({ cause, broker, without, with: protectedBy }) => ({
    name: cause.name,
    broker,
    store: 'sqlite',
    events: payments.length,
    deliveries: protectedBy.deliveries,
    chargesWithout: without.charges,
    chargesWith: protectedBy.charges,
  }))
  return JSON.stringify({ scenarios: rows })
}
