import type { Deduplicator } from '@oncemq/core'
import { copySecret } from '@oncemq/core/broker'
import type { ChannelAcks } from './acks.ts'
import type { AmqpMessage, RawChannel } from './amqp.ts'
import { claimsProvenance, readArrival } from './arrival.ts'
import type { CopySender } from './delivery.ts'
import { Delivery } from './delivery.ts'
import { isStream, looksLikeStream } from './queue-kind.ts'

export interface ReceptionSettings {
  readonly queue: string
  readonly dedup: Pick<Deduplicator<never>, 'available' | 'secret' | 'settings' | 'warn'>
  readonly acks: ChannelAcks
  readonly copies: CopySender
  /** Opens a channel to ask the broker on. */
  readonly openChannel: () => Promise<RawChannel>
  readonly onDelivery: (delivery: Delivery) => void
  /** The queue turned out to be a stream. */
  readonly onStream: () => void
}

/**
 * Makes deliveries of what a consumer is sent: a snapshot, and a copy of ours given back as it first came.
 * Few messages say anything that has to be looked into first; they alone wait for that, unsettled.
 */
export class Reception {
  readonly #settings: ReceptionSettings
  #kind: Promise<boolean> | undefined

  constructor(settings: ReceptionSettings) {
    this.#settings = settings
  }

  receive(message: AmqpMessage): void {
    if (claimsProvenance(message) || looksLikeStream(message)) void this.#lookInto(message)
    else this.#deliver(message, undefined)
  }

  async #lookInto(message: AmqpMessage): Promise<void> {
    const { acks, dedup, onStream } = this.#settings
    acks.expect(message.fields.deliveryTag)
    if (looksLikeStream(message) && (await this.#isStream())) return onStream()
    const secret = claimsProvenance(message) ? await copySecret(dedup, acks.gone) : undefined
    if (acks.open) this.#deliver(message, secret)
  }

  #deliver(message: AmqpMessage, secret: Uint8Array | undefined): void {
    const { acks, copies, dedup, onDelivery, queue } = this.#settings
    const { clock } = dedup.settings
    const delivery = new Delivery(readArrival(message, { queue, clock, secret }), queue, acks, copies)
    acks.arrived(delivery)
    onDelivery(delivery)
  }

  /** Asked once, however many messages say so. */
  #isStream(): Promise<boolean> {
    const { openChannel, queue } = this.#settings
    this.#kind ??= isStream(openChannel, queue).catch(() => {
      this.#kind = undefined
      return false
    })
    return this.#kind
  }
}
