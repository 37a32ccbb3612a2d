import { eventId } from '@oncemq/core'
import { stampId } from '@oncemq/rabbitmq'
import type { ChannelModel, ConfirmChannel } from 'amqplib'
import type { Order } from './order.ts'
import { bodyOf } from './order.ts'
import { SENDING } from './watch.ts'

/** A broker that was told nothing more removes what a killed run left behind. */
const QUEUE_EXPIRES_MS = 60_000

/** A queue for one way. */
export class RabbitmqQueue {
  readonly #channel: ConfirmChannel
  readonly #queue: string

  private constructor(channel: ConfirmChannel, queue: string) {
    this.#channel = channel
    this.#queue = queue
  }

  static async declare(connection: ChannelModel, queue: string): Promise<RabbitmqQueue> {
    const channel = await connection.createConfirmChannel()
    await channel.assertQueue(queue, { durable: true, expires: QUEUE_EXPIRES_MS })
    return new RabbitmqQueue(channel, queue)
  }

  // #region send
  /** The id is made of the order's own, so every copy of the message has the same. */
  async send(order: Order, sending: string): Promise<void> {
    const headers = { [SENDING]: sending }
    const options = stampId({ persistent: true, headers }, eventId('order', order.id, 'pay'))
    this.#channel.sendToQueue(this.#queue, bodyOf(order), options)
    await this.#channel.waitForConfirms()
  }
  // #endregion

  async remove(): Promise<void> {
    await this.#channel.deleteQueue(this.#queue)
    await this.#channel.close()
  }
}
