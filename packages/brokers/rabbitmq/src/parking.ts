import type { DeadLetterReason } from '@oncemq/core/broker'
import type { Copies } from './copies.ts'
import type { Delivery } from './delivery.ts'

/** Why a message is in a parking queue. */
export const REASON_HEADER = 'x-oncemq-reason'
/** The queue that the message was consumed from. */
export const QUEUE_HEADER = 'x-oncemq-queue'
/** Where the message was published to at first. */
export const EXCHANGE_HEADER = 'x-oncemq-exchange'
export const ROUTING_KEY_HEADER = 'x-oncemq-routing-key'

/**
 * Where messages go that are not to be processed: a durable queue beside the consumed one. AMQP does not tell
 * a consumer whether its queue has a dead-letter exchange, and a reject without one deletes the message.
 */
export class Parking {
  readonly #copies: Copies
  readonly #queueOf: (queue: string) => string

  constructor(copies: Copies, queueOf: (queue: string) => string) {
    this.#copies = copies
    this.#queueOf = queueOf
  }

  /** Resolves when the broker has confirmed the copy; only then the original may be acked. */
  async park({ message, queue }: Delivery, reason: DeadLetterReason): Promise<void> {
    const parking = this.#queueOf(queue)
    await this.#copies.declare(parking, { durable: true })
    await this.#copies.send(parking, message, {
      [REASON_HEADER]: reason,
      [QUEUE_HEADER]: queue,
      [EXCHANGE_HEADER]: message.fields.exchange,
      [ROUTING_KEY_HEADER]: message.fields.routingKey,
    })
  }
}
