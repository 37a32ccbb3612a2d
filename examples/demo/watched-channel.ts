import type { Channel, Message } from 'amqplib'
import type { Journal } from './journal.ts'

/** What the raw channel shall do beside its work. */
export interface Watch {
  readonly journal: Journal
  /** The acks of so many messages get lost: `lost` is called when the last is on its way. None by default. */
  readonly losesAcks?: { readonly messages: number; readonly lost: () => void }
  readonly delivered: () => void
}

/**
 * Notes on a raw channel what arrives and what is acked, below whatever is wrapped around it; and loses acks
 * where it is told to.
 */
export function watch(channel: Channel, { journal, losesAcks, delivered }: Watch): Channel {
  const consume = channel.consume.bind(channel)
  const ack = channel.ack.bind(channel)
  const unacked = new Set<number>()
  let lost = 0
  channel.consume = (queue, onMessage, options) =>
    consume(
      queue,
      (message) => {
        if (message !== null) {
          unacked.add(message.fields.deliveryTag)
          journal.note('delivered')
          delivered()
        }
        onMessage(message)
      },
      options,
    )
  channel.ack = (message, allUpTo = false) => {
    const acked = takeAcked(unacked, message, allUpTo)
    if (losesAcks === undefined) {
      ack(message, allUpTo)
      journal.note('acked', acked)
      return
    }
    lost += acked
    if (lost === losesAcks.messages) losesAcks.lost()
  }
  return channel
}

function takeAcked(unacked: Set<number>, message: Message, allUpTo: boolean): number {
  const { deliveryTag } = message.fields
  const acked = allUpTo ? [...unacked].filter((tag) => tag <= deliveryTag) : [deliveryTag]
  for (const tag of acked) unacked.delete(tag)
  return acked.length
}
