import { requireMethods, stampedId } from '@oncemq/core/broker'

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
  requireMethods('stampId', message, [], 'pass a record: { key, value }')
  const { headers = {} } = message as { readonly headers?: Readonly<Record<string, unknown>> }
  const stamped = stampedId('stampId', id, headers[ID_HEADER])
  return { ...message, headers: { ...headers, [ID_HEADER]: stamped } }
}
