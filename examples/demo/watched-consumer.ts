import type { SimpleConsumer } from 'rocketmq-client-nodejs'
import type { Watch } from './watched-channel.ts'

/**
 * Notes on a raw consumer what arrives and what is acked, below whatever is wrapped around it; and loses acks
 * where it is told to.
 */
export function watchConsumer(
  consumer: SimpleConsumer,
  { journal, losesAcks, delivered }: Watch,
): SimpleConsumer {
  const receive = consumer.receive.bind(consumer)
  const ack = consumer.ack.bind(consumer)
  let lost = 0
  consumer.receive = async (...args) => {
    const messages = await receive(...args)
    for (const _ of messages) {
      journal.note('delivered')
      delivered()
    }
    return messages
  }
  consumer.ack = async (message) => {
    if (losesAcks === undefined) {
      await ack(message)
      return journal.note('acked')
    }
    lost += 1
    if (lost === losesAcks.messages) losesAcks.lost()
    // Neither the ack nor an answer arrives.
    return new Promise(() => undefined)
  }
  return consumer
}
