import { OncemqError } from '@oncemq/core'
import type { MessageSource, Receiver, Session } from '@oncemq/core/broker'
import type { AmqpMessage, RawChannel } from './amqp.ts'
import type { ChannelSource } from './channel-source.ts'
import type { SessionParts } from './channel-session.ts'
import { ChannelSession } from './channel-session.ts'
import { isRefusal, streamRefused } from './queue-kind.ts'
import { Reception } from './reception.ts'
import type { ConsumeSettings } from './settings.ts'
import { followsLog } from './settings.ts'
import { StreamSession } from './stream/stream-session.ts'

/** Where the managed consumer's messages come from: one channel after the other. */
export class QueueSource<Tx> implements MessageSource<AmqpMessage> {
  readonly #settings: ConsumeSettings<Tx>
  readonly #channels: ChannelSource
  #isFirst = true
  #asked = 0
  #isClosed = false

  constructor(settings: ConsumeSettings<Tx>, channels: ChannelSource) {
    this.#settings = settings
    this.#channels = channels
  }

  async open(receiver: Receiver<AmqpMessage>): Promise<Session> {
    const asked = ++this.#asked
    await this.#secretKnown()
    const channel = await this.#channels.open()
    if (this.#isClosed) await this.#channels.release(channel)
    // Whoever asked after this gets the same channel: on one channel there is one consumer.
    if (this.#isClosed || asked !== this.#asked) throw new Error('the channel came too late')
    const session = this.#session(channel, receiver)
    try {
      await session.start()
    } catch (error) {
      await session.close()
      // Later a queue may be missing for a while; at start it is a wrong name.
      throw this.#isFirst ? refusal(error, this.#settings.queue) : error
    }
    this.#isFirst = false
    return session
  }

  close(): Promise<void> {
    this.#isClosed = true
    return this.#channels.close()
  }

  #session(channel: RawChannel, receiver: Receiver<AmqpMessage>): ChannelSession<Tx> {
    const Kind = followsLog(this.#settings) ? StreamSession : ConsumerSession
    return new Kind({ channel, channels: this.#channels, settings: this.#settings, receiver })
  }

  /**
   * Nothing is received before copies of it could be made, and ours be known: without that a message could
   * only be returned, again and again, until the broker deletes it.
   */
  async #secretKnown(): Promise<void> {
    const { dedup } = this.#settings
    if (dedup.settings.onStoreDown === 'process' && !followsLog(this.#settings)) return
    try {
      await dedup.secret()
    } catch (cause) {
      throw new Error('the store does not answer', { cause })
    }
  }
}

/** The messages of a classic or quorum queue, which come again when their channel is gone. */
class ConsumerSession<Tx> extends ChannelSession<Tx> {
  readonly #reception: Reception

  constructor(parts: SessionParts<Tx>) {
    super(parts)
    const { channel, channels, settings } = parts
    this.#reception = new Reception({
      queue: settings.queue,
      dedup: this.dedup,
      acks: this.acks,
      copies: this.copies,
      openChannel: () => channels.openBeside(channel),
      onDelivery: (delivery) => this.deliver(delivery),
      onStream: () => this.end(streamRefused()),
    })
  }

  async start(): Promise<void> {
    await this.prefetched()
    await this.resume()
  }

  resume(): Promise<void> {
    return this.inTurn(() => this.subscribe(this.settings.consume))
  }

  protected received(message: AmqpMessage): void {
    this.#reception.receive(message)
  }
}

function refusal(cause: unknown, queue: string): unknown {
  if (!isRefusal(cause)) return cause
  const { message } = cause as { message?: unknown }
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    `consume: expected the queue '${queue}' to exist and to be this user's to consume, received ` +
      `'${String(message).slice(0, 200)}'; declare it, or correct its name, arguments or rights`,
    { cause },
  )
}
