import type { Isolation } from '../claims/isolation.ts'
import type { RunningClaim } from '../claims/claim.ts'
import type { Start } from '../claims/start.ts'
import { Unclaimed } from '../claims/unclaimed.ts'
import type { Handler, Strategy, StrategyServices } from '../strategies/strategy.ts'
import type { Identity } from './identity.ts'
import type { ClaimOutcome, Delivery, ProcessOutcome } from './outcome.ts'
import { closed } from './refusals.ts'

export interface HandleServices<Tx> extends StrategyServices {
  readonly strategy: Strategy<Tx>
  readonly isolation: Isolation
  /** Aborts at close. */
  readonly closing: AbortSignal
}

/**
 * What a delivery is let in with: the answer to its claim, or what a strategy without records starts from.
 */
export type Admission = ClaimOutcome<RunningClaim> | Recordless

export interface Recordless {
  readonly status: 'recordless'
  /** `undefined` without a key. */
  readonly identity: Identity | undefined
  /** Which start this is, from 1, as the broker counts. */
  readonly attempt: number
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
  if (admission.status === 'granted') return run(admission.claim)
  if (admission.status === 'recordless') {
    return inTurn(new Unclaimed(admission.attempt, admission.identity), services, run)
  }
  if (admission.status === 'unprotected') {
    return inTurn(new Unclaimed(admission.attempt), services, (start) => run(start).then(unprotected))
  }
  return admission
}

/** A start without a claim, which the broker counts. As with a claim, its last ones are alone. */
async function inTurn<Tx>(
  start: Start,
  { attemptsMax, closing, isolation }: HandleServices<Tx>,
  run: (start: Start) => Promise<ProcessOutcome>,
): Promise<ProcessOutcome> {
  const isSuspect = start.attempt > attemptsMax
  const endTurn = isSuspect ? await isolation.alone(closing) : undefined
  while (!isSuspect && isolation.isReserved) if (!(await isolation.shared(closing))) break
  try {
    if (closing.aborted) return closed()
    isolation.started()
    return await run(start).finally(() => isolation.ended())
  } finally {
    endTurn?.()
  }
}

function unprotected(outcome: ProcessOutcome): ProcessOutcome {
  return outcome.status === 'completed' ? { ...outcome, protected: false } : outcome
}
