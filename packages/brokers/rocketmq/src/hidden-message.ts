import type { Deduplicator } from '@oncemq/core'
import type { DeadLetter, Retry } from '@oncemq/core/broker'
import { ArrivedMessage } from './arrived-message.ts'
import type { RawConsumer, RocketmqMessage } from './client.ts'
import { Hold } from './hold.ts'
import { forwardToDeadLetterQueue } from './host.ts'
import type { Arrival } from './parked-copy.ts'
import { arrivalOf } from './parked-copy.ts'
import type { Parking } from './parking.ts'

const GIVEN_BACK_MS = 1000
const GONE = AbortSignal.abort()

/** What the messages of a SimpleConsumer share. */
export interface HiddenServices {
  readonly consumer: RawConsumer
  readonly dedup: Deduplicator<never>
  readonly parking: Parking
  /** Aborts when the client is shut down. */
  readonly signal: AbortSignal
}

/** Holds what was received, before anything else happens to it. Answers it in the order in which it came. */
export async function hidden(
  views: readonly RocketmqMessage[],
  invisibleMs: number,
  services: HiddenServices,
): Promise<readonly HiddenMessage[]> {
  const { consumer, dedup, signal } = services
  const holds = views.map((view) => new Hold(view, consumer, dedup.settings.clock, invisibleMs))
  for (const hold of holds) hold.keep()
  const arrivals = await Promise.all(views.map((view) => arrivalOf(view, dedup, signal)))
  return holds.map((hold, at) => new HiddenMessage(arrivals[at] as Arrival, hold, services))
}

/** A message of a SimpleConsumer, hidden from others while it is held. */
export class HiddenMessage extends ArrivedMessage {
  static #received = 0
  readonly hold: Hold
  /** Rises with each message that was received here. */
  readonly arrivedAs = ++HiddenMessage.#received
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

  /** For what there is no room to wait here. */
  async retryLater(retry: Retry): Promise<void> {
    await this.#settle(() => this.hold.hideFor(this.putOffMs(retry)))
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
