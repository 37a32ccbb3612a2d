import type { DeadLetter, Retry } from '@oncemq/core/broker'
import { ArrivedMessage } from './arrived-message.ts'
import type { RawConsumer } from './client.ts'
import type { Hold } from './hold.ts'
import { forwardToDeadLetterQueue } from './host.ts'
import type { Arrival } from './parked-copy.ts'
import type { Parking } from './parking.ts'

const GIVEN_BACK_MS = 1000
const GONE = AbortSignal.abort()

/** What the messages of a SimpleConsumer share. */
export interface HiddenServices {
  readonly consumer: RawConsumer
  readonly parking: Parking
  /** Aborts when the client is shut down. */
  readonly signal: AbortSignal
}

/** A message of a SimpleConsumer, hidden from others while it is held. */
export class HiddenMessage extends ArrivedMessage {
  readonly hold: Hold
  readonly #services: HiddenServices
  #isSettled = false

  constructor(arrival: Arrival, hold: Hold, services: HiddenServices) {
    super(arrival)
    this.hold = hold
    this.#services = services
  }

  get signal(): AbortSignal {
    return this.hold.isGone ? GONE : this.#services.signal
  }

  async ack(): Promise<void> {
    if (!this.#isSettled) await this.hold.ack()
  }

  /** Costs one of the group's attempts, as each delivery does; the engine waits here while it can. */
  async retryLater({ delayMs }: Retry): Promise<void> {
    await this.#settle(() => this.hold.hideFor(delayMs))
  }

  async deadLetter(letter: DeadLetter): Promise<void> {
    const { consumer, parking } = this.#services
    if (await parking.park(this.arrival, letter)) return
    await this.#settle(() => this.hold.last(() => forwardToDeadLetterQueue(consumer, this.hold.view)))
  }

  async giveBack(): Promise<void> {
    this.#isSettled = true
    // What cannot be told comes again when its time ends.
    await this.hold.hideFor(GIVEN_BACK_MS).catch(() => undefined)
  }

  /** A message that could not be settled is still held. */
  async #settle(tell: () => Promise<void>): Promise<void> {
    try {
      await tell()
      this.#isSettled = true
    } catch (error) {
      this.hold.keep()
      throw error
    }
  }
}
