import type { RunningClaim } from '../claims/claim.ts'
import type { Start } from '../claims/start.ts'
import type { Handler, Strategy, StrategyServices } from '../strategies/strategy.ts'
import type { ClaimOutcome, Delivery, ProcessOutcome } from './outcome.ts'

export interface HandleServices<Tx> extends StrategyServices {
  readonly strategy: Strategy<Tx>
}

/**
 * What a delivery is let in with: the answer to its claim, or what a strategy without records starts from.
 */
export type Admission = ClaimOutcome<RunningClaim> | Recordless

export interface Recordless {
  readonly status: 'recordless'
  readonly claim: RunningClaim
}

/** Runs the handler as the delivery was let in. Never rejects. */
export function handle<Tx>(
  admission: Admission,
  handler: Handler<Tx>,
  services: HandleServices<Tx>,
  delivery: Delivery,
): Promise<ProcessOutcome> | ProcessOutcome {
  const run = (start: Start): Promise<ProcessOutcome> =>
    services.strategy.run(start, handler, services, delivery)
  // Every other answer is how it ended.
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- see default
  switch (admission.status) {
    case 'granted':
      return run(admission.claim)
    case 'recordless':
      return ended(admission.claim, run(admission.claim))
    case 'unprotected':
      return ended(admission.claim, run(admission.claim).then(unprotected))
    default:
      return admission
  }
}

/** A strategy may end without a word what has no record. */
async function ended(claim: RunningClaim, running: Promise<ProcessOutcome>): Promise<ProcessOutcome> {
  try {
    return await running
  } finally {
    await claim.release('unstarted')
  }
}

function unprotected(outcome: ProcessOutcome): ProcessOutcome {
  return outcome.status === 'completed' ? { ...outcome, protected: false } : outcome
}
