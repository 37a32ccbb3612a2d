import type { Channel, ChannelModel, ConsumeMessage, Message } from 'amqplib'

const PERSISTENT = 2

/** The options of a sender that are no properties of AMQP: they are for the broker, or for amqplib itself. */
const FOR_THE_SENDER = ['persistent', 'confirm', 'mandatory', 'immediate']

/**
 * A connection whose channels see no more than what goes over a wire. The broker in this process hands all
 * options of the sender on, so that a consumer that sends a copy would find properties that it cannot write;
 * and it knows a message again by the object itself, where RabbitMQ gets the delivery tag alone.
 */
export function asOnTheWire(connection: ChannelModel): ChannelModel {
  const createChannel = connection.createChannel.bind(connection)
  connection.createChannel = async () => onTheWire(await createChannel())
  return connection
}

function onTheWire(channel: Channel): Channel {
  const byTag = new Map<number, Message>()
  const original = (message: Message): Message => byTag.get(message.fields.deliveryTag) ?? message
  const consume = channel.consume.bind(channel)
  const [ack, nack, reject] = [
    channel.ack.bind(channel),
    channel.nack.bind(channel),
    channel.reject.bind(channel),
  ]
  channel.consume = (queue, onMessage, options) =>
    consume(
      queue,
      (message) => {
        if (message !== null) byTag.set(message.fields.deliveryTag, message)
        onMessage(message && withoutOptions(message))
      },
      options,
    )
  channel.ack = (message, allUpTo) => ack(original(message), allUpTo)
  channel.nack = (message, allUpTo, requeue) => nack(original(message), allUpTo, requeue)
  channel.reject = (message, requeue) => reject(original(message), requeue)
  return channel
}

function withoutOptions(message: ConsumeMessage): ConsumeMessage {
  const given = Object.entries(message.properties)
  const properties = Object.fromEntries(given.filter(([name]) => !FOR_THE_SENDER.includes(name)))
  const isPersistent = given.some(([name, value]) => name === 'persistent' && value === true)
  const mode = isPersistent ? { deliveryMode: PERSISTENT } : {}
  return { ...message, properties: { ...properties, ...mode } } as ConsumeMessage
}
