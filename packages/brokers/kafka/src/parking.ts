import type { Deduplicator } from '@oncemq/core'
import type { DeadLetter } from '@oncemq/core/broker'
import type { OutgoingMessage } from './client.ts'
import type { RecordProducer } from './clients/port.ts'
import type { Arrival } from './parked-copy.ts'
import { parkedCopy } from './parked-copy.ts'

/** A record may have come compressed with others, and be larger than a topic takes as it is. */
const COMPRESSED_FROM_BYTES = 65_536

/** What a dead letter is sent with. */
export type Sender = Pick<RecordProducer, 'send'>

/** Sends what is not to be processed to a topic of its own. */
export class Parking {
  readonly #producer: RecordProducer
  readonly #topicOf: (topic: string) => string
  readonly #dedup: Deduplicator<never>

  constructor(producer: RecordProducer, topicOf: (topic: string) => string, dedup: Deduplicator<never>) {
    this.#producer = producer
    this.#topicOf = topicOf
    this.#dedup = dedup
  }

  /** Resolves when the broker has it. @throws what the client throws; OncemqError while the store is down. */
  async park(arrival: Arrival, letter: DeadLetter, sender: Sender = this.#producer): Promise<void> {
    const secret = await this.#dedup.secret()
    const message = parkedCopy(arrival, letter, secret)
    const compressed = sizeOf(message) >= COMPRESSED_FROM_BYTES
    await sender.send(this.#topicOf(arrival.message.topic), message, { compressed })
  }
}

function sizeOf({ key, value, headers }: OutgoingMessage): number {
  const texts = [key, value, ...Object.values(headers).flat()]
  return texts.reduce((sum, text) => sum + (text?.length ?? 0), 0)
}
