import { printable } from '../delivery/identity.ts'
import type { DeadLetterReason, ProcessOutcome } from '../delivery/outcome.ts'
import { errorNameOf, isError, readable } from '../errors.ts'
import { withoutSecrets } from '../observe/public-text.ts'
import type { DeadLetter } from './held-message.ts'

/** What is written on a message that is put aside. */
export function deadLetterOf(
  reason: DeadLetterReason,
  outcome: ProcessOutcome,
  times: Pick<DeadLetter, 'firstAtMs' | 'lastAtMs'>,
): DeadLetter {
  const error: unknown = 'error' in outcome ? outcome.error : undefined
  const attempts = 'attempt' in outcome ? outcome.attempt : 0
  return { reason, attempts, ...described(error), ...times }
}

function described(thrown: unknown): Pick<DeadLetter, 'errorName' | 'errorMessage'> {
  if (thrown === undefined) return { errorName: undefined, errorMessage: undefined }
  const error = readable(thrown)
  const errorMessage = isError(error) ? printable(withoutSecrets(error.message)) : undefined
  return { errorName: printable(errorNameOf(error)), errorMessage }
}

/** A dead letter for brokers whose headers are texts; an empty one where there is nothing to tell. */
export function letterTexts(letter: DeadLetter) {
  const { reason, errorName = '', errorMessage = '', attempts, firstAtMs, lastAtMs } = letter
  const [firstAt, lastAt] = [new Date(firstAtMs).toISOString(), new Date(lastAtMs).toISOString()]
  return { reason, errorName, errorMessage, attempts: `${attempts}`, firstAt, lastAt }
}
