import type { Deduplicator } from '@oncemq/core'
import type { DeadLetter } from '@oncemq/core/broker'
import type { RawProducer } from './client.ts'
import type { Arrival } from './parked-copy.ts'
import { parkedCopy } from './parked-copy.ts'

/** All replicas that are in step have it. */
const ALL = -1

/** Sends what is not to be processed to a topic of its own. */
export class Parking {
  readonly #producer: RawProducer
  readonly #topicOf: (topic: string) => string
  readonly #dedup: Deduplicator<never>
  #connecting: Promise<void> | undefined

  constructor(producer: RawProducer, topicOf: (topic: string) => string, dedup: Deduplicator<never>) {
    this.#producer = producer
    this.#topicOf = topicOf
    this.#dedup = dedup
  }

  /** Resolves when the broker has it. @throws what the client throws; OncemqError while the store is down. */
  async park(arrival: Arrival, letter: DeadLetter): Promise<void> {
    const secret = await this.#dedup.secret()
    await this.#connected()
    const message = parkedCopy(arrival, letter, secret)
    await this.#producer.send({
      topic: this.#topicOf(arrival.message.topic),
      acks: ALL,
      messages: [message],
    })
  }

  /** Connecting twice is nothing to a client, so a producer of the user's may be connected already. */
  #connected(): Promise<void> {
    this.#connecting ??= this.#producer.connect().catch((error: unknown) => {
      this.#connecting = undefined
      throw error
    })
    return this.#connecting
  }
}
