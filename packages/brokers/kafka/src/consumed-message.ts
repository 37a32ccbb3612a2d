import type { DeadLetter, HeldMessage, Position, TakenLog } from '@oncemq/core/broker'
import type { KafkaMessage } from './client.ts'
import { copyOf } from './client.ts'
import type { Ordering } from './options.ts'
import type { Arrival } from './parked-copy.ts'

/** Where a record was fetched, and what becomes of it: one for each form. */
export interface Fate {
  readonly signal: AbortSignal
  /** How far its partition is done, where that says what becomes of it. */
  readonly log?: TakenLog | undefined
  /** How often its handler has failed, where no record counts that. */
  readonly startsBefore?: number
  ack(): void
  deadLetter(arrival: Arrival, letter: DeadLetter): Promise<void>
  giveBack(): void
}

const EMPTY = Buffer.alloc(0)

/** A record that is held: its offset is not committed, and none after it. */
export class ConsumedMessage implements HeldMessage<KafkaMessage> {
  readonly arrival: Arrival
  /** Kafka has no place but the partition where a record could wait: it waits here, whatever it waits for. */
  readonly order: string
  /** Kafka itself counts no deliveries. */
  readonly startsBefore: number
  readonly position: Position | undefined
  readonly fate: Fate
  readonly place: KafkaMessage
  #message: KafkaMessage | undefined

  /** `place` is where it was fetched, which is another than its own when it was a dead letter before. */
  constructor(arrival: Arrival, place: KafkaMessage, ordering: Ordering, fate: Fate) {
    this.arrival = arrival
    this.order = orderOf(place, ordering)
    this.fate = fate
    this.place = place
    const offset = BigInt(place.offset)
    this.position = fate.log && { log: fate.log, offset }
    this.startsBefore = fate.log?.startsBefore(offset) ?? fate.startsBefore ?? 0
  }

  /** A copy: what is done to it reaches neither its key, nor a further attempt, nor what is parked. */
  get message(): KafkaMessage {
    return (this.#message ??= copyOf(this.arrival.message))
  }

  renew(): void {
    this.#message = undefined
  }

  get source(): string {
    return this.arrival.message.topic
  }

  get body(): Uint8Array {
    return this.arrival.message.value ?? EMPTY
  }

  get firstAtMs(): number {
    return this.arrival.firstAtMs
  }

  get signal(): AbortSignal {
    return this.fate.signal
  }

  ack(): void {
    this.fate.ack()
  }

  /** Never called for a message that has an order. */
  async retryLater(): Promise<void> {
    throw new Error('a record waits in its partition')
  }

  deadLetter(letter: DeadLetter): Promise<void> {
    return this.fate.deadLetter(this.arrival, letter)
  }

  giveBack(): void {
    this.fate.giveBack()
  }
}

/** What records have to be handled one after the other. */
function orderOf({ topic, partition, key, offset }: KafkaMessage, ordering: Ordering): string {
  const place = `${topic}/${partition}`
  if (ordering === 'partition') return place
  return ordering === 'key' && key !== null ? `${place}/key/${key.toString('base64')}` : `${place}/${offset}`
}
