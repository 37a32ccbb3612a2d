import type { DeadLetter, HeldMessage, Retry } from '@oncemq/core/broker'
import { backoffMs } from '@oncemq/core/broker'
import type { RocketmqMessage } from './client.ts'
import { messageGroupOf } from './client.ts'
import type { Arrival } from './parked-copy.ts'
import { copyOf } from './parked-copy.ts'

/** Between deliveries in which the handler does not run. 17 of them, the default, take nine hours. */
const PUT_OFF_BACKOFF = { firstMs: 10_000, factor: 2, maxMs: 3_600_000 }

/** What all forms know of a message that they hold; how it is settled differs. */
export abstract class ArrivedMessage implements HeldMessage<RocketmqMessage> {
  readonly arrival: Arrival
  #message: RocketmqMessage | undefined

  constructor(arrival: Arrival) {
    this.arrival = arrival
  }

  /** A copy: what is done to it reaches neither its key, nor a further attempt, nor what is parked. */
  get message(): RocketmqMessage {
    return (this.#message ??= copyOf(this.arrival.message))
  }

  renew(): void {
    this.#message = undefined
  }

  get source(): string {
    return this.arrival.message.topic
  }

  get body(): Uint8Array {
    return this.arrival.message.body
  }

  get order(): string | undefined {
    const group = messageGroupOf(this.arrival.message)
    return group === undefined ? undefined : `${this.source}/${group}`
  }

  get startsBefore(): number {
    return Math.max(0, (this.arrival.message.deliveryAttempt ?? 1) - 1)
  }

  get firstAtMs(): number {
    return this.arrival.firstAtMs
  }

  /** Each delivery costs one of the group's attempts: a message that did not run is put off ever longer. */
  protected putOffMs({ delayMs, reason }: Retry): number {
    if (reason === 'failed' || reason === 'conflict') return delayMs
    return Math.max(delayMs, backoffMs(PUT_OFF_BACKOFF, this.startsBefore))
  }

  abstract get signal(): AbortSignal
  abstract ack(): Promise<void> | void
  abstract retryLater(retry: Retry): Promise<void>
  abstract deadLetter(letter: DeadLetter): Promise<'left-to-broker' | void>
  abstract giveBack(): Promise<void> | void
}
