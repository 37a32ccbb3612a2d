import type { Completion } from '../claims/start.ts'
import type { ProcessOutcome } from '../delivery/outcome.ts'
import { OncemqError } from '../errors.ts'

/** The outcome of a handler that succeeded, by what the store said. */
export function completed(completion: Completion, result: Uint8Array | undefined): ProcessOutcome {
  switch (completion) {
    case 'completed':
      return { status: 'completed', result, protected: true }
    case 'unconfirmed':
      return { status: 'unconfirmed', result }
    case 'lost':
      return { status: 'lost' }
    case 'closed':
      return { status: 'closed', error: closedBeforeConfirmed() }
  }
}

function closedBeforeConfirmed(): OncemqError {
  return new OncemqError(
    'ONCEMQ_CLOSED',
    'expected to record the key as done before the deduplicator or its store was closed, and the store did ' +
      'not answer; close both after their consumers, with more time',
  )
}
