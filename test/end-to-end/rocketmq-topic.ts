import { stopClient, startClient, stampKeys } from '@oncemq/rocketmq'
import { declareRocketmq } from '@oncemq/test-services/rocketmq'
import { Producer } from 'rocketmq-client-nodejs'
import { groupOf } from './grouped-keys.ts'

export const silent = { info() {}, warn() {}, error() {}, debug() {}, close() {} }

/** A topic of the test's own, whose keys are `group-number` in a FIFO topic. */
export class Topic {
  readonly name: string
  readonly type: 'NORMAL' | 'FIFO'
  readonly #producer: Producer

  private constructor(name: string, type: 'NORMAL' | 'FIFO', producer: Producer) {
    this.name = name
    this.type = type
    this.#producer = producer
  }

  static async open(url: string, name: string, type: 'NORMAL' | 'FIFO'): Promise<Topic> {
    const groups = [{ name, orderly: type === 'FIFO' }]
    await declareRocketmq(url, { topics: [{ name, type }], groups })
    const producer = new Producer({
      endpoints: new URL(url).host,
      namespace: '',
      logger: silent,
      topics: [name],
    })
    await startClient(producer)
    return new Topic(name, type, producer)
  }

  /** Sends all once, and then all again, as a producer does that heard nothing. */
  async sendTwice(keys: readonly string[]): Promise<void> {
    for (const key of [...keys, ...keys]) await this.#send(key)
  }

  async close(): Promise<void> {
    await stopClient(this.#producer)
  }

  async #send(key: string): Promise<void> {
    const group = this.type === 'FIFO' ? { messageGroup: groupOf(key) } : {}
    await this.#producer.send(stampKeys({ topic: this.name, body: Buffer.from(key), ...group }, key))
  }
}
