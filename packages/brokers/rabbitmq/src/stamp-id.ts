import { OptionError } from '@oncemq/core'
import { received } from '@oncemq/core/broker'

/** What AMQP takes for a message id. */
const BYTES_MAX = 255

/**
 * For producers: the publish options with this message id, by which consumers know a message that is sent
 * again. Take the id of the business event (`eventId` of `@oncemq/core`), made once, and send the same
 * options again after a confirm that did not come, a timeout or a restart.
 *
 * @throws OptionError for an id that is no string, empty, not well-formed or longer than 255 bytes, and for
 *   options that have another id already: one message is about one event.
 * @example
 * const options = stampId({ persistent: true }, eventId('order', order.id, 'paid'))
 * channel.publish('shop', 'order.paid', body, options)
 */
export function stampId<Options extends object>(
  options: Options,
  id: string,
): Options & { messageId: string } {
  const given: unknown = id
  if (typeof given !== 'string') throw refusal('a string', received(given))
  if (given === '') throw refusal('a string that is not empty', 'an empty one')
  // What cannot be sent in UTF-8 arrives as another id.
  if (!given.isWellFormed() || given.includes('\uFFFD')) throw refusal('well-formed text', 'another string')
  const bytes = Buffer.byteLength(given)
  if (bytes > BYTES_MAX) throw refusal(`at most ${BYTES_MAX} bytes`, `${bytes}`)
  const { messageId } = options as { readonly messageId?: unknown }
  if (messageId !== undefined && messageId !== given)
    throw refusal('options without an id', 'some with another')
  return { ...options, messageId: given }
}

function refusal(expected: string, what: string): OptionError {
  return new OptionError(
    `stampId: expected ${expected}, received ${what}; give the business event's id, made by eventId(...)`,
  )
}
