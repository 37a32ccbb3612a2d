import type { Deduplicator } from '@oncemq/core'
import type { DeadLetter } from '@oncemq/core/broker'
import type { OutgoingMessage, RawProducer } from './client.ts'
import type { Arrival } from './parked-copy.ts'
import { parkedCopy } from './parked-copy.ts'

/** All replicas that are in step have it. */
const ALL = -1
/** A record may have come compressed with others, and be larger than a topic takes as it is. */
const COMPRESSED_FROM_BYTES = 65_536
const GZIP = 1
const NONE = 0

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
      compression: sizeOf(message) < COMPRESSED_FROM_BYTES ? NONE : GZIP,
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

function sizeOf({ key, value, headers }: OutgoingMessage): number {
  const texts = [key, value, ...Object.values(headers).flat()]
  return texts.reduce((sum, text) => sum + (text?.length ?? 0), 0)
}
