import type { ConsumerDeserializer, ConsumerSerializer } from '@nestjs/microservices'
import type { AmqpConnection, ConsumeOptions } from '@oncemq/rabbitmq'

/**
 * Options of {@link OncemqRmqServer}: those of `consume` of `@oncemq/rabbitmq`, but for what Nest does by
 * itself. All times are milliseconds.
 */
export interface OncemqRmqOptions<Tx = undefined> extends Omit<
  ConsumeOptions<Tx>,
  'handler' | 'connect' | 'connection' | 'channel' | 'errorReply'
> {
  /**
   * Makes a connection of amqplib, at start and whenever the last one is gone.
   * @example () => amqplib.connect('amqp://127.0.0.1')
   */
  connect: () => Promise<AmqpConnection>
  /**
   * Declares the queue with these, as Nest's own transport does. Left out, the queue must exist.
   * @example { durable: true, arguments: { 'x-queue-type': 'quorum' } }
   */
  queueOptions?: Readonly<Record<string, unknown>>
  /**
   * Whether replies to `send` are kept with the record, and sent again to duplicates with the same payload.
   * @default true
   */
  replayResult?: boolean
  /**
   * Binds the queue to a topic exchange by the patterns of all handlers, which may have the wildcards `*` and
   * `#`: as `wildcards` of Nest's own transport and client.
   * @default false
   */
  wildcards?: boolean
  /** The exchange that the queue is bound to; with `wildcards`, the queue's name by default. */
  exchange?: string
  /** @default 'topic' */
  exchangeType?: 'direct' | 'fanout' | 'topic' | 'headers'
  /** Arguments of the exchange's declaration. */
  exchangeArguments?: Readonly<Record<string, unknown>>
  /** Binds the queue to the exchange by it. */
  routingKey?: string
  /**
   * Whether an error that a handler, guard or pipe has thrown is none that passes: the message is
   * dead-lettered at once. A `PermanentError` always is one. By default `BadRequestException` and
   * `UnprocessableEntityException`, which Nest's pipes throw.
   */
  isPermanent?: (error: unknown) => boolean
  /** As of Nest's own transport. */
  serializer?: ConsumerSerializer
  /** As of Nest's own transport. */
  deserializer?: ConsumerDeserializer
}
