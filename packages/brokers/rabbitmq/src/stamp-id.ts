import { requireMethods, stampedId, unfitId } from '@oncemq/core/broker'

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
  requireMethods('stampId', options, [], 'pass the options of publish, or {}')
  const { messageId: before } = options as { readonly messageId?: unknown }
  const messageId = stampedId('stampId', id, before)
  const bytes = Buffer.byteLength(messageId)
  if (bytes > BYTES_MAX) throw unfitId('stampId', `at most ${BYTES_MAX} bytes`, `${bytes}`)
  return { ...options, messageId }
}
