import { OptionError, received } from '../errors.ts'

/**
 * For helpers that stamp a message with its event's id: the id, if a consumer will read the same.
 * @throws OptionError for one that is no string, empty or not well-formed, or where the message has another
 *   id already (`before`): one message is about one event.
 */
export function stampedId(form: string, id: unknown, before: unknown): string {
  if (typeof id !== 'string') throw unfitId(form, 'a string', received(id))
  if (id === '') throw unfitId(form, 'a string that is not empty', 'an empty one')
  // What cannot be sent in UTF-8 arrives as another id.
  if (!id.isWellFormed() || id.includes('\uFFFD')) throw unfitId(form, 'well-formed text', 'another string')
  if (before !== undefined && before !== id)
    throw unfitId(form, 'a message without an id', 'one with another')
  return id
}

/** The error for an id that `form`, the function that was called, cannot stamp; the id is not in it. */
export function unfitId(form: string, expected: string, what: string): OptionError {
  return new OptionError(
    `${form}: expected ${expected}, received ${what}; give the business event's id, made by eventId(...)`,
  )
}
