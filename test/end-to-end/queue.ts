import type { ChannelModel, ConfirmChannel } from 'amqplib'
import { connect } from 'amqplib'

/** The waits of copies for a key or a store, of which each has its queue. */
const WAIT_STEPS_MS = [128, 256, 512, 1024, 2048, 4096, 8192]

/** A queue of the test's own, and what stands in it and in those beside it. */
export class Queue {
  readonly name: string
  readonly #connection: ChannelModel
  readonly #sender: ConfirmChannel

  private constructor(name: string, connection: ChannelModel, sender: ConfirmChannel) {
    this.name = name
    this.#connection = connection
    this.#sender = sender
  }

  static async open(url: string, name: string): Promise<Queue> {
    const connection = await connect(url)
    connection.on('error', () => undefined)
    const sender = await connection.createConfirmChannel()
    // With the broker's default limit of returns, and no dead-letter exchange.
    await sender.assertQueue(name, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
    return new Queue(name, connection, sender)
  }

  /** Sends all once, and then all again, as a producer does that heard nothing. */
  async sendTwice(keys: readonly string[]): Promise<void> {
    for (const key of [...keys, ...keys]) {
      this.#sender.sendToQueue(this.name, Buffer.from(key), { messageId: key, persistent: true })
    }
    await this.#sender.waitForConfirms()
  }

  /** How many messages wait for a consumer, now or later. */
  async left(): Promise<number> {
    const names = [this.name, ...WAIT_STEPS_MS.map((waitMs) => `${this.name}.retry.${waitMs}`)]
    const counts = await Promise.all(names.map((name) => this.#countIn(name)))
    return counts.reduce((sum: number, count) => sum + (count ?? 0), 0)
  }

  async parked(): Promise<number> {
    return (await this.#countIn(`${this.name}.parked`)) ?? 0
  }

  async close(): Promise<void> {
    await this.#sender.deleteQueue(this.name)
    await this.#connection.close()
  }

  async #countIn(name: string): Promise<number | undefined> {
    const channel = await this.#connection.createChannel()
    channel.on('error', () => undefined)
    try {
      const { messageCount } = await channel.checkQueue(name)
      await channel.close()
      return messageCount
    } catch {
      return undefined
    }
  }
}
