import type { Position, TakenLog } from '@oncemq/core/broker'
import type { Acks, CopySender } from '../delivery.ts'
import { Delivery } from '../delivery.ts'
import type { Arrival } from '../arrival.ts'

/** Where a stream's message was received, and what becomes of it. */
export interface StreamFate {
  readonly queue: string
  readonly log: TakenLog
  readonly acks: Acks
  readonly copies: CopySender
  /** It is settled: the log is past it, or is to be moved. */
  settled(delivery: StreamDelivery): Promise<void>
  /** It is to be received again, and what came after it. */
  givenBack(offset: bigint): void
}

/** A message of a stream, which stays where it is: an ack asks the broker for a further one, and no more. */
export class StreamDelivery extends Delivery {
  readonly position: Position
  /** A stream has no place but itself where a message could wait: it waits here, whatever it waits for. */
  readonly order: string
  readonly #fate: StreamFate
  readonly #startsBefore: number

  constructor(arrival: Arrival, offset: bigint, fate: StreamFate) {
    const { acks, copies, log, queue } = fate
    super(arrival, queue, acks, copies)
    this.order = queue
    this.position = { log, offset }
    this.#fate = fate
    this.#startsBefore = arrival.startsBefore + log.startsBefore(offset)
  }

  override get startsBefore(): number {
    return this.#startsBefore
  }

  /** A stream counts no returns, and deletes nothing for them. */
  override isWornOut(): boolean {
    return false
  }

  override async ack(): Promise<void> {
    await this.#fate.settled(this)
  }

  /** For the broker: it has another place in the window. */
  credit(): void {
    this.acks.ack(this)
  }

  override giveBack(): void {
    this.#fate.givenBack(this.position.offset)
  }

  /** Never called for a message that has an order. */
  override async retryLater(): Promise<void> {
    throw new Error('a message waits in its stream')
  }
}
