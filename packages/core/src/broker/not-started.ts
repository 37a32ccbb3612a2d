import type { Deduplicator } from '../deduplicator.ts'
import type { Delivery, ProcessOutcome } from '../delivery/outcome.ts'
import { errorNameOf, readable } from '../errors.ts'
import type { HeldMessage } from './held-message.ts'
import type { Attempt } from './loop-options.ts'

/**
 * What kept a handler from starting counts as a failure of the handler: a message that never gets there is
 * put aside, too.
 */
export function notStarted(
  what: string,
  thrown: unknown,
  { key, startsBefore = 0, returnsBefore = 0 }: Delivery,
  dedup: Deduplicator<never>,
): ProcessOutcome {
  const error = readable(thrown)
  const { settings } = dedup
  const hasRecord = key !== undefined && settings.strategy.usesRecords
  const attempt = startsBefore - (hasRecord ? returnsBefore : 0) + 1
  dedup.warn(`${what} threw ${errorNameOf(error)}`)
  const final = attempt >= settings.attemptsMax
  if (final) return { status: 'failed', final, error, attempt, reason: 'attempts' }
  return { status: 'failed', final, error, attempt }
}

/** An attempt that throws, which none should, leaves its message to nobody else. */
export async function attempted<Message>(
  attempt: Attempt<Message>,
  held: HeldMessage<Message>,
  delivery: Delivery,
  dedup: Deduplicator<never>,
): Promise<ProcessOutcome | undefined> {
  try {
    return await attempt(held, delivery)
  } catch (error) {
    return notStarted('an attempt', error, delivery, dedup)
  }
}
