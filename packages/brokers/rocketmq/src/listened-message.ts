import type { Clock, DeadLetter, Retry } from '@oncemq/core/broker'
import { backoffMs } from '@oncemq/core/broker'
import { ArrivedMessage } from './arrived-message.ts'
import type { Arrival } from './parked-copy.ts'
import type { Parking } from './parking.ts'

/** A message given back costs one of the group's attempts, so that it is given back ever later. */
const GIVE_BACK_BACKOFF = { firstMs: 1000, factor: 2, maxMs: 600_000 }
/** The client renews a message until its listener has answered. */
const NEVER = new AbortController().signal

/** A message of a PushConsumer, which is settled by what its listener answers. */
export class ListenedMessage extends ArrivedMessage {
  /** True for SUCCESS, false for FAILURE. */
  readonly answer: Promise<boolean>
  readonly #parking: Parking
  readonly #clock: Clock
  #resolve!: (isDone: boolean) => void
  #isLeftToBroker = false

  constructor(arrival: Arrival, parking: Parking, clock: Clock) {
    super(arrival)
    this.#parking = parking
    this.#clock = clock
    this.answer = new Promise((resolve) => (this.#resolve = resolve))
  }

  get signal(): AbortSignal {
    return NEVER
  }

  /** Whether it is answered FAILURE until the broker has dead-lettered it. */
  get isLeftToBroker(): boolean {
    return this.#isLeftToBroker
  }

  ack(): void {
    this.#resolve(true)
  }

  /** For what there is no room to wait here. The client has it delivered again about two seconds later. */
  async retryLater(retry: Retry): Promise<void> {
    const isOfHandler = retry.reason === 'failed' || retry.reason === 'conflict'
    this.#failAfter(isOfHandler ? 0 : this.putOffMs(retry))
  }

  async deadLetter(letter: DeadLetter): Promise<'left-to-broker' | void> {
    if (await this.#parking.park(this.arrival, letter)) return
    this.#isLeftToBroker = true
    this.#resolve(false)
    return 'left-to-broker'
  }

  /** The client would dead-letter a FIFO message: it waits, and is delivered again when the process ends. */
  giveBack(): void {
    if (this.order !== undefined) return
    this.#failAfter(backoffMs(GIVE_BACK_BACKOFF, this.startsBefore))
  }

  #failAfter(delayMs: number): void {
    this.#clock.after(delayMs, () => this.#resolve(false), 'background')
  }
}
