import { OncemqError } from '@oncemq/core'
import type { AmqpMessage, Consuming, RawChannel } from './amqp.ts'
import { answerOf } from './amqp.ts'

/**
 * `consume('')` on a channel that has declared no queue as far as we know. The broker refuses it, and that is
 * the caller's answer. A queue that was declared on the bare channel it takes: nothing stays of that.
 * @throws what the broker says; OncemqError where it says yes, since a queue whose name is not known has no
 * wait queue that leads back to it.
 */
export async function consumeUnnamed(channel: RawChannel, options: object | undefined): Promise<never> {
  const messages: AmqpMessage[] = []
  const keep = (message: AmqpMessage | null): void => void (message !== null && messages.push(message))
  const { consumerTag } = await answerOf<Consuming>((done) => channel.consume('', keep, options, done))
  await answerOf((done) => channel.cancel(consumerTag, done))
  for (const message of messages) channel.nack(message)
  throw unnamed('consume')
}

/** The same for `get`. */
export async function getUnnamed(channel: RawChannel, options: object | undefined): Promise<never> {
  const message = await answerOf<AmqpMessage | false>((done) => channel.get('', options, done))
  if (message !== false) channel.nack(message)
  throw unnamed('get')
}

function unnamed(form: 'consume' | 'get'): OncemqError {
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    `${form}: expected a queue's name, received '' on a channel that has not declared one through the ` +
      'wrapped channel; declare it there, or name it',
  )
}
