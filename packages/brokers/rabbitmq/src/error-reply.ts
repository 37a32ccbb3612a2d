import { errorNameOf } from '@oncemq/core/broker'
import type { Delivery } from './delivery.ts'
import { encodeReply } from './replies.ts'
import type { ConsumeSettings } from './settings.ts'

/**
 * Tells who asked that the message has been dead-lettered. Never rejects: it is put aside already, and that
 * is not to be done again for an answer.
 */
export async function replyError<Tx>(
  delivery: Delivery,
  { dedup, errorReply }: Pick<ConsumeSettings<Tx>, 'dedup' | 'errorReply'>,
): Promise<void> {
  if (errorReply === undefined || delivery.arrival.properties.replyTo === undefined) return
  try {
    const encoded = encodeReply(errorReply(delivery.message, delivery.thrown))
    if (encoded !== undefined) await delivery.answer(encoded)
  } catch (error) {
    dedup.warn(`an error reply was not sent (${errorNameOf(error)})`)
  }
}
