import { eventId } from '@oncemq/core'
import { stampKeys, startClient, stopClient } from '@oncemq/rocketmq'
import { Producer, SimpleConsumer } from 'rocketmq-client-nodejs'
import type { Order } from './order.ts'
import { bodyOf } from './order.ts'
import { ROCKETMQ_GROUP, ROCKETMQ_TOPIC, ROCKETMQ_URL } from './servers.ts'
import { SENDING } from './watch.ts'

/** A server as delivered refuses shorter polls. */
const POLL_MS = 5000

const logger = { info() {}, warn() {}, error() {}, debug() {}, close() {} }
const client = { endpoints: new URL(ROCKETMQ_URL).host, namespace: '', logger }

export function simpleConsumer(): SimpleConsumer {
  const subscriptions = new Map([[ROCKETMQ_TOPIC, '*']])
  return new SimpleConsumer({
    ...client,
    consumerGroup: ROCKETMQ_GROUP,
    subscriptions,
    awaitDuration: POLL_MS,
  })
}

/** The topic, as a producer sees it. */
export class RocketmqTopic {
  readonly #producer: Producer

  private constructor(producer: Producer) {
    this.#producer = producer
  }

  static async open(): Promise<RocketmqTopic> {
    const producer = new Producer({ ...client, topics: [ROCKETMQ_TOPIC] })
    await startClient(producer)
    return new RocketmqTopic(producer)
  }

  // #region send
  /** The key is made of the order's own, so every copy of the message has the same. */
  async send(order: Order, sending: string): Promise<void> {
    const properties = new Map([[SENDING, sending]])
    const message = { topic: ROCKETMQ_TOPIC, body: bodyOf(order), properties }
    await this.#producer.send(stampKeys(message, eventId('order', order.id, 'pay')))
  }
  // #endregion

  close(): Promise<void> {
    return stopClient(this.#producer)
  }
}
