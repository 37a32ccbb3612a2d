import { OptionError } from '@oncemq/core'
import { received } from '@oncemq/core/broker'

/** The header in which `stampId` puts the id, and where `messageId()` looks for it. */
export const ID_HEADER = 'message-id'

/**
 * For producers: the record with this id in its header `message-id`, by which consumers know a record that is
 * sent again. Take the id of the business event (`eventId` of `@oncemq/core`), made once, and send the same
 * record again after a timeout or a restart. An idempotent producer knows its own retries only, and forgets
 * them when its process ends.
 *
 * @throws OptionError for an id that is no string, empty or not well-formed, and for a record that has
 *   another id already: one record is about one event.
 * @example
 * const message = stampId({ key: order.id, value: body }, eventId('order', order.id, 'paid'))
 * await producer.send({ topic: 'orders', messages: [message] })
 */
export function stampId<Message extends object>(
  message: Message,
  id: string,
): Message & { headers: Record<typeof ID_HEADER, string> } {
  const given: unknown = id
  if (typeof given !== 'string') throw refusal('a string', received(given))
  if (given === '') throw refusal('a string that is not empty', 'an empty one')
  // What cannot be sent in UTF-8 arrives as another id.
  if (!given.isWellFormed() || given.includes('\uFFFD')) throw refusal('well-formed text', 'another string')
  const { headers = {} } = message as { readonly headers?: Readonly<Record<string, unknown>> }
  const before = headers[ID_HEADER]
  if (before !== undefined && before !== given) throw refusal('a record without an id', 'one with another')
  return { ...message, headers: { ...headers, [ID_HEADER]: given } }
}

function refusal(expected: string, what: string): OptionError {
  return new OptionError(
    `stampId: expected ${expected}, received ${what}; give the business event's id, made by eventId(...)`,
  )
}
