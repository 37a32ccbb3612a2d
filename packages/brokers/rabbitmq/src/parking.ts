import type { DeadLetter } from '@oncemq/core/broker'
import { OWN_PREFIX } from './names.ts'
import type { Delivery } from './delivery.ts'

/** Which of the message's properties and headers the client could not write on the copy. */
export const UNWRITABLE_HEADER = `${OWN_PREFIX}unwritable`

/** What stands in the headers of a parked message, for people and their tools. */
export function describedHeaders(
  { arrival, source }: Delivery,
  letter: DeadLetter,
): Readonly<Record<string, unknown>> {
  const { reason, errorName, errorMessage, attempts, firstAtMs, lastAtMs } = letter
  const described = {
    reason,
    error: errorName,
    'error-message': errorMessage,
    attempts,
    'first-at': iso(firstAtMs),
    'last-at': iso(lastAtMs),
    queue: source,
    exchange: arrival.fields.exchange,
    'routing-key': arrival.fields.routingKey,
  }
  const entries = Object.entries(described).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries.map(([name, value]) => [`${OWN_PREFIX}${name}`, value]))
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
