import type { Deduplicator } from '@oncemq/core'
import { OncemqError } from '@oncemq/core'
import type { MessageSource, Receiver, Session } from '@oncemq/core/broker'
import { ChannelAcks } from './acks.ts'
import type { AmqpMessage, Consuming, RawChannel } from './amqp.ts'
import { answerOf } from './amqp.ts'
import type { ChannelSource } from './channel-source.ts'
import { Copies } from './copies.ts'
import type { Delivery } from './delivery.ts'
import { Publisher } from './publisher.ts'
import { streamRefused } from './queue-kind.ts'
import { Reception } from './reception.ts'
import type { ConsumeSettings } from './settings.ts'

const CHANNEL_REFUSALS = new Set<unknown>([403, 404, 405, 406])

/** Where the managed consumer's messages come from: one channel after the other. */
export class QueueSource<Tx> implements MessageSource<AmqpMessage> {
  readonly #settings: ConsumeSettings<Tx>
  readonly #channels: ChannelSource
  #isFirst = true

  constructor(settings: ConsumeSettings<Tx>, channels: ChannelSource) {
    this.#settings = settings
    this.#channels = channels
  }

  async open(receiver: Receiver<AmqpMessage>): Promise<Session> {
    const channel = await this.#channels.open()
    const session = new ConsumerSession(channel, this.#channels, this.#settings, receiver)
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
    return this.#channels.close()
  }
}

/**
 * The managed consumer's time on one raw channel. It ends when the channel closes or the server cancels the
 * consumer; what it delivered is then delivered again elsewhere, and is settled here no more.
 *
 *   consuming ⇄ paused        both ──channel closed, or cancelled by the server──▶ ended
 */
class ConsumerSession<Tx> implements Session {
  readonly #channel: RawChannel
  readonly #channels: ChannelSource
  readonly #settings: ConsumeSettings<Tx>
  readonly #receiver: Receiver<AmqpMessage>
  readonly #acks: ChannelAcks
  readonly #publisher: Publisher
  readonly #reception: Reception
  readonly #onClose = (): void => this.#end()
  #consumerTag: string | undefined

  constructor(
    channel: RawChannel,
    channels: ChannelSource,
    settings: ConsumeSettings<Tx>,
    receiver: Receiver<AmqpMessage>,
  ) {
    const { queue } = settings
    const dedup = settings.dedup as unknown as Deduplicator<never>
    this.#channel = channel
    this.#channels = channels
    this.#settings = settings
    this.#receiver = receiver
    this.#acks = new ChannelAcks(channel)
    this.#publisher = new Publisher(channels.confirmChannel(channel), dedup.settings)
    const copies = new Copies(this.#publisher, {
      ...settings,
      clock: dedup.settings.clock,
      secret: () => dedup.secret(),
    })
    this.#reception = new Reception({
      queue,
      dedup,
      acks: this.#acks,
      copies,
      openChannel: () => channels.openBeside(channel),
      onDelivery: (delivery) => this.#deliver(delivery),
      onStream: () => this.#end(streamRefused()),
    })
    channel.on('close', this.#onClose)
  }

  async start(): Promise<void> {
    const { prefetch } = this.#settings
    // Some imitations of amqplib answer nothing here.
    await answerOf((done) => this.#channel.prefetch(prefetch, false, done) ?? done(null))
    await this.resume()
  }

  async resume(): Promise<void> {
    const { queue, consume } = this.#settings
    const receive = (message: AmqpMessage | null): void => this.#receive(message)
    const consuming = await answerOf<Consuming>((done) =>
      this.#channel.consume(queue, receive, consume, done),
    )
    this.#consumerTag = consuming.consumerTag
  }

  async pause(): Promise<void> {
    const consumerTag = this.#consumerTag
    this.#consumerTag = undefined
    if (consumerTag === undefined) return
    await answerOf((done) => this.#channel.cancel(consumerTag, done))
  }

  async stop(): Promise<void> {
    await this.pause().catch(() => undefined)
  }

  async close(): Promise<void> {
    this.#acks.flush()
    this.#channel.removeListener('close', this.#onClose)
    await this.#publisher.close()
    await this.#channels.release(this.#channel)
    this.#acks.end()
  }

  #receive(message: AmqpMessage | null): void {
    if (message !== null) return this.#reception.receive(message)
    this.#consumerTag = undefined
    this.#end()
  }

  #deliver(delivery: Delivery): void {
    this.#receiver.received(delivery)
  }

  /** The channel is gone, or shall be: nothing of it is settled any more. */
  #end(error?: OncemqError): void {
    this.#acks.end()
    this.#receiver.ended(error)
  }
}

function refusal(cause: unknown, queue: string): unknown {
  const { code, message } = (cause ?? {}) as { code?: unknown; message?: unknown }
  if (!CHANNEL_REFUSALS.has(code)) return cause
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    `consume: expected the queue '${queue}' to exist and to be this user's to consume, received ` +
      `'${String(message).slice(0, 200)}'; declare it, or correct the name, its arguments or the user's rights`,
    { cause },
  )
}
