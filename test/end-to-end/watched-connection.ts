import type { Channel, ChannelModel, ConfirmChannel } from 'amqplib'
import type { History } from './history.ts'

type Consume = (queue: string, onMessage: (message: Delivered | null) => void, ...rest: unknown[]) => unknown
type Publish = (
  exchange: string,
  queue: string,
  content: Buffer,
  options: { readonly messageId?: string },
  done: (error: unknown) => void,
) => boolean

interface Delivered {
  readonly fields: { readonly deliveryTag: number }
  readonly properties: { readonly messageId?: string }
}

/** Notes what goes over a connection: which deliveries are acked, and which copies are confirmed. */
export function watched(connection: ChannelModel, history: History): ChannelModel {
  const createChannel = connection.createChannel.bind(connection)
  const createConfirmChannel = connection.createConfirmChannel.bind(connection)
  connection.createChannel = async (...args) => watchAcks(await createChannel(...args), history)
  connection.createConfirmChannel = async (...args) =>
    watchCopies(await createConfirmChannel(...args), history)
  return connection
}

function watchAcks(channel: Channel, history: History): Channel {
  const keys = new Map<number, string>()
  const plain = channel as unknown as { consume: Consume }
  const consume = plain.consume.bind(channel)
  plain.consume = (queue, onMessage, ...rest) =>
    consume(
      queue,
      (message) => {
        if (message !== null) keys.set(message.fields.deliveryTag, message.properties.messageId ?? '')
        onMessage(message)
      },
      ...rest,
    )
  const ack = channel.ack.bind(channel)
  channel.ack = (message, allUpTo = false) => {
    const { deliveryTag } = message.fields
    for (const [tag, key] of keys) {
      if (tag !== deliveryTag && !(allUpTo && tag < deliveryTag)) continue
      keys.delete(tag)
      history.append({ type: 'ack', pid: process.pid, key })
    }
    ack(message, allUpTo)
  }
  const nack = channel.nack.bind(channel)
  channel.nack = (message, ...flags) => {
    keys.delete(message.fields.deliveryTag)
    nack(message, ...flags)
  }
  return channel
}

function watchCopies(channel: ConfirmChannel, history: History): ConfirmChannel {
  const plain = channel as unknown as { publish: Publish }
  const publish = plain.publish.bind(channel)
  plain.publish = (exchange, queue, content, options, done) =>
    publish(exchange, queue, content, options, (error) => {
      const isConfirmed = error === null || error === undefined
      if (isConfirmed) history.append({ type: 'copy', pid: process.pid, key: options.messageId ?? '' })
      done(error)
    })
  return channel
}
