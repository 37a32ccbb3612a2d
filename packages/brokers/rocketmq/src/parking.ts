import type { DeadLetterReason } from '@oncemq/core/broker'
import type { Deduplicator } from '@oncemq/core'
import type { RawConsumer, RocketmqMessage } from './client.ts'
import type { Delivery } from './delivery.ts'
import { forwardToDeadLetterQueue } from './host.ts'
import type { SharedSettings } from './settings.ts'

/** Why a message is in a parking topic. */
export const REASON_PROPERTY = 'oncemq-reason'
/** The topic that the message was consumed from. */
export const TOPIC_PROPERTY = 'oncemq-topic'
export const MESSAGE_ID_PROPERTY = 'oncemq-message-id'
export const MESSAGE_GROUP_PROPERTY = 'oncemq-message-group'

/** Before a message that could not be parked is looked at again. */
const PARK_AGAIN_MS = 10_000

/** Where messages go that are not to be processed: a parking topic, or the broker's dead-letter queue. */
export class Parking {
  readonly #settings: Pick<SharedSettings, 'producer' | 'parkingTopic'>
  readonly #warn: (message: string) => void

  constructor(
    settings: Pick<SharedSettings, 'producer' | 'parkingTopic'>,
    dedup: Pick<Deduplicator, 'warn'>,
  ) {
    this.#settings = settings
    this.#warn = (message) => dedup.warn(message)
  }

  /** Whether there is a producer to park with. */
  get canPark(): boolean {
    return this.#settings.producer !== undefined
  }

  /**
   * Sends a copy to the parking topic; answers whether the broker has it, so that the original may be acked.
   * Never rejects.
   */
  async park(message: RocketmqMessage, reason: DeadLetterReason): Promise<boolean> {
    const { producer, parkingTopic } = this.#settings
    if (producer === undefined) return false
    try {
      await producer.send(copyOf(message, parkingTopic(message.topic), reason))
      return true
    } catch (error) {
      this.#warn(`parking: a message could not be sent to its topic (${nameOf(error)}); it comes again`)
      return false
    }
  }

  /** Ends a delivery that is not to be processed. Never acks what is kept nowhere else. Never rejects. */
  async end(delivery: Delivery, consumer: RawConsumer, reason: DeadLetterReason): Promise<void> {
    if (this.canPark) {
      if (await this.park(delivery.message, reason)) await delivery.ack()
      else await delivery.defer(PARK_AGAIN_MS)
      return
    }
    try {
      await delivery.last(() => forwardToDeadLetterQueue(consumer, delivery.message))
    } catch (error) {
      this.#warn(
        `a message could not be moved to the dead-letter queue (${nameOf(error)}); it comes again, until ` +
          "the group's retryMaxTimes is used up and the broker moves it",
      )
      await delivery.defer(PARK_AGAIN_MS)
    }
  }
}

function copyOf(message: RocketmqMessage, topic: string, reason: DeadLetterReason) {
  const { messageId, tag, messageGroup = '' } = message
  const properties = new Map(message.properties)
    .set(REASON_PROPERTY, reason)
    .set(TOPIC_PROPERTY, message.topic)
    .set(MESSAGE_ID_PROPERTY, messageId)
  if (messageGroup !== '') properties.set(MESSAGE_GROUP_PROPERTY, messageGroup)
  return {
    topic,
    body: message.body,
    keys: [...message.keys],
    properties,
    ...(tag === undefined || tag === '' ? {} : { tag }),
  }
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error
}
