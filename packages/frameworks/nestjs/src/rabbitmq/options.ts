import type { AmqpConnection, ConsumeOptions } from '@oncemq/rabbitmq'

/**
 * Options of {@link OncemqRmqServer}: those of `consume` of `@oncemq/rabbitmq`, but for what Nest does by
 * itself. All times are milliseconds.
 */
export interface OncemqRmqOptions<Tx = undefined> extends Omit<
  ConsumeOptions<Tx>,
  'handler' | 'connect' | 'connection' | 'channel'
> {
  /**
   * Makes a connection of amqplib, at start and whenever the last one is gone.
   * @example () => amqplib.connect('amqp://127.0.0.1')
   */
  connect: () => Promise<AmqpConnection>
  /**
   * Declares the queue with these at start, as Nest's own transport does. Left out, the queue must exist.
   * @example { durable: true, arguments: { 'x-queue-type': 'quorum' } }
   */
  queueOptions?: Readonly<Record<string, unknown>>
  /**
   * Whether replies to `send` are kept with the record, and sent again to duplicates with the same payload.
   * @default true
   */
  replayResult?: boolean
}
