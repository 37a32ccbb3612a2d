import type { Clock, DeadLetterReason, RetryReason, Settlement, SettlementPolicy } from '@oncemq/core/broker'
import type { Deduplicator } from '@oncemq/core'
import { retryDefaults } from '@oncemq/core/broker'
import { ChannelAcks } from './acks.ts'
import type { AmqpMessage, RawChannel } from './amqp.ts'
import type { OpenConfirmChannel } from './confirm-channel.ts'
import { Copies } from './copies.ts'
import type { Delivery } from './delivery.ts'
import type { SharedSettings } from './settings.ts'
import { Parking } from './parking.ts'
import { sendReply } from './replies.ts'
import { DelayedRetry } from './retry.ts'

/**
 * What becomes of a message that is not to be processed: parked, or rejected to the broker's dead-letter
 * exchange.
 */
export type DeadLetter = 'park' | 'nack'

export interface SettlerSettings extends SharedSettings {
  readonly clock: Clock
  readonly deadLetter: DeadLetter
}

/** What the deduplicator's options say about settling. */
export function settlementPolicy(dedup: Deduplicator, retry = retryDefaults): SettlementPolicy {
  return { retry, onUnconfirmed: dedup.settings.onUnconfirmed }
}

/** Before a message whose copy could not be sent is given back: the broker would deliver it again at once. */
const COPY_FAILED_MS = 1000

/**
 * Tells the broker how deliveries of one raw channel ended, in the three verbs of the core. What is retried
 * later or parked is copied first and acked when the broker has the copy, so that a crash between the two
 * leaves two, never none.
 */
export class Settler {
  readonly acks: ChannelAcks
  readonly #settings: SettlerSettings
  readonly #copies: Copies
  readonly #parking: Parking
  readonly #retry: DelayedRetry
  readonly #warn: (message: string) => void

  constructor(
    channel: RawChannel,
    openConfirmChannel: OpenConfirmChannel,
    settings: SettlerSettings,
    dedup: Pick<Deduplicator, 'warn'>,
  ) {
    this.acks = new ChannelAcks(channel)
    this.#settings = settings
    this.#copies = new Copies(openConfirmChannel)
    this.#parking = new Parking(this.#copies, settings.parkingQueue)
    this.#retry = new DelayedRetry(this.#copies, settings.waitQueueType, settings.clock)
    this.#warn = (message) => dedup.warn(message)
  }

  /** Never rejects. Does nothing for a delivery that is settled, or whose channel is gone. */
  async settle(delivery: Delivery, settlement: Settlement): Promise<void> {
    switch (settlement.action) {
      case 'ack':
        return delivery.acks.ack(delivery)
      case 'retry':
        return this.#retryLater(delivery, settlement.delayMs, settlement.reason)
      case 'dead-letter':
        return this.#deadLetter(delivery, settlement.reason)
    }
  }

  /** Keeps the delivery unacked for a while and then gives it back to its queue. */
  holdThenRequeue(delivery: Delivery, delayMs: number): void {
    this.#settings.clock.after(delayMs, () => delivery.acks.nack(delivery, true), 'background')
  }

  /** Sends a reply; answers whether the broker has it. Never rejects. */
  async reply(message: AmqpMessage, encoded: Uint8Array): Promise<boolean> {
    try {
      await sendReply(this.#copies, message, encoded)
      return true
    } catch (error) {
      this.#warn(`reply: it could not be sent (${error instanceof Error ? error.name : typeof error})`)
      return false
    }
  }

  async close(): Promise<void> {
    this.acks.flush()
    await this.#copies.close()
  }

  async #retryLater(delivery: Delivery, delayMs: number, reason: RetryReason): Promise<void> {
    await this.#replace(delivery, 'retry', () => this.#retry.send(delivery, delayMs, reason))
  }

  async #deadLetter(delivery: Delivery, reason: DeadLetterReason): Promise<void> {
    if (this.#settings.deadLetter === 'nack') return delivery.acks.nack(delivery, false)
    await this.#replace(delivery, 'parking', () => this.#parking.park(delivery, reason))
  }

  async #replace(delivery: Delivery, purpose: string, copy: () => Promise<void>): Promise<void> {
    if (!delivery.acks.open) return
    try {
      await copy()
    } catch (error) {
      const what = error instanceof Error ? error.name : typeof error
      this.#warn(`${purpose}: a copy could not be sent (${what}); the message is given back to its queue`)
      return this.holdThenRequeue(delivery, COPY_FAILED_MS)
    }
    delivery.acks.ack(delivery)
  }
}
