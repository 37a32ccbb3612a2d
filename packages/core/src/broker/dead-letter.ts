import { printable } from '../delivery/identity.ts'
import type { DeadLetterReason, ProcessOutcome } from '../delivery/outcome.ts'
import { isError } from '../errors.ts'
import { withoutSecrets } from '../observe/public-text.ts'
import type { DeadLetter } from './held-message.ts'

const NAME_MAX = 100
const MESSAGE_MAX = 300

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

function described(error: unknown): Pick<DeadLetter, 'errorName' | 'errorMessage'> {
  if (error === undefined) return { errorName: undefined, errorMessage: undefined }
  if (!isError(error)) return { errorName: typeof error, errorMessage: undefined }
  const errorName = printable(String(error.name).slice(0, NAME_MAX))
  return { errorName, errorMessage: printable(withoutSecrets(String(error.message)).slice(0, MESSAGE_MAX)) }
}

/** A dead letter for brokers whose headers are texts; an empty one where there is nothing to tell. */
export function letterTexts(letter: DeadLetter) {
  const { reason, errorName = '', errorMessage = '', attempts, firstAtMs, lastAtMs } = letter
  const [firstAt, lastAt] = [new Date(firstAtMs).toISOString(), new Date(lastAtMs).toISOString()]
  return { reason, errorName, errorMessage, attempts: `${attempts}`, firstAt, lastAt }
}
