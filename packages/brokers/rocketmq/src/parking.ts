import type { Deduplicator } from '@oncemq/core'
import type { DeadLetter } from '@oncemq/core/broker'
import type { Arrival } from './parked-copy.ts'
import { parkedCopy } from './parked-copy.ts'
import type { SharedSettings } from './settings.ts'

/**
 * The server's codes for a message that is refused whenever it is sent: a tag, key or property that it takes
 * from clients of version 4 alone, too large, no body, too many properties.
 */
const UNWRITABLE: ReadonlySet<unknown> = new Set([
  40_004, 40_005, 40_007, 41_300, 41_301, 41_302, 43_100, 43_101,
])

/** Sends what is not to be processed to a topic of its own, where there is a producer for it. */
export class Parking {
  readonly #settings: Pick<SharedSettings, 'producer' | 'parkingTopic'>
  readonly #dedup: Deduplicator<never>

  constructor(settings: Pick<SharedSettings, 'producer' | 'parkingTopic'>, dedup: Deduplicator<never>) {
    this.#settings = settings
    this.#dedup = dedup
  }

  /**
   * Answers whether the broker has a copy. False without a producer, and for a message that cannot be sent
   * with what its sender wrote and the reason beside it: the broker's dead-letter queue takes it as it is.
   * @throws what the producer throws, and OncemqError while the store does not answer.
   */
  async park(arrival: Arrival, letter: DeadLetter): Promise<boolean> {
    const { producer, parkingTopic } = this.#settings
    if (producer === undefined) return false
    const secret = await this.#dedup.secret()
    try {
      await producer.send(parkedCopy(arrival, parkingTopic(arrival.message.topic), letter, secret))
      return true
    } catch (error) {
      if (!(error instanceof Error) || !UNWRITABLE.has((error as { code?: unknown }).code)) throw error
      this.#dedup.warn('a message cannot be parked as it is; it goes to the dead-letter queue of its group')
      return false
    }
  }
}
