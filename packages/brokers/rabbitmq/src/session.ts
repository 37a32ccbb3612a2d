import type { Deduplicator } from '@oncemq/core'
import { OncemqError } from '@oncemq/core'
import type { MessageSource, Receiver, Session } from '@oncemq/core/broker'
import { ChannelAcks } from './acks.ts'
import type { AmqpMessage, Consuming, RawChannel } from './amqp.ts'
import { answerOf } from './amqp.ts'
import type { ChannelSource } from './channel-source.ts'
import { Copies } from './copies.ts'
import type { Delivery } from './delivery.ts'
import { replyError } from './error-reply.ts'
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
    this.#isClosed = true
    return this.#channels.close()
  }

  /**
   * Nothing is received before copies of it could be made, and ours be known: without that a message could
   * only be returned, again and again, until the broker deletes it.
   */
  async #secretKnown(): Promise<void> {
    const { dedup } = this.#settings
    if (dedup.settings.onStoreDown === 'process') return
    try {
      await dedup.secret()
    } catch (cause) {
      throw new Error('the store does not answer', { cause })
    }
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
  /**
   * What was asked of the channel last: one thing after the other, so that there is never a second consumer.
   */
  #turn: Promise<unknown> | undefined
  #closing: Promise<void> | undefined

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
      onDeadLettered: (delivery) => replyError(delivery, settings),
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

  resume(): Promise<void> {
    return this.#inTurn(async () => {
      const { queue, consume } = this.#settings
      const receive = (message: AmqpMessage | null): void => this.#receive(message)
      const consuming = await answerOf<Consuming>((done) =>
        this.#channel.consume(queue, receive, consume, done),
      )
      this.#consumerTag = consuming.consumerTag
    })
  }

  pause(): Promise<void> {
    return this.#inTurn(async () => {
      const consumerTag = this.#consumerTag
      this.#consumerTag = undefined
      if (consumerTag === undefined) return
      await answerOf((done) => this.#channel.cancel(consumerTag, done))
    })
  }

  async stop(): Promise<void> {
    await this.pause().catch(() => undefined)
  }

  /** A connection that is blocked answers nothing: one that does not must not keep the others. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#acks.flush()
    this.#channel.removeListener('close', this.#onClose)
    // A channel of the user's stays open: what it delivered would never be delivered again.
    if (this.#channels.isShared) this.#acks.giveBack()
    await Promise.all([this.#publisher.close(), this.#channels.release(this.#channel)])
    if (!this.#channels.isShared) this.#acks.end()
  }

  /** Begins at once where nothing is under way, before anything else that is sent in the same step. */
  #inTurn(action: () => Promise<void>): Promise<void> {
    const turn = this.#turn === undefined ? action() : this.#turn.then(action)
    const ended = turn
      .catch(() => undefined)
      .then(() => {
        if (this.#turn === ended) this.#turn = undefined
      })
    this.#turn = ended
    return turn
  }

  #receive(message: AmqpMessage | null): void {
    if (message !== null) return this.#reception.receive(message)
    this.#consumerTag = undefined
    if (this.#channels.isShared) this.#acks.giveBack()
    this.#end()
  }

  #deliver(delivery: Delivery): void {
    const { payload } = this.#settings
    if (payload !== undefined) delivery.body = payloadOf(delivery, payload)
    this.#receiver.received(delivery)
  }

  /** The channel is gone, or shall be: nothing of it is settled any more. */
  #end(error?: OncemqError): void {
    this.#acks.end()
    this.#receiver.ended(error)
  }
}

/** One that cannot be told apart from others by less is told by all of it. */
function payloadOf({ body, message }: Delivery, read: (message: AmqpMessage) => Uint8Array): Uint8Array {
  try {
    const payload: unknown = read(message)
    return payload instanceof Uint8Array ? payload : body
  } catch {
    return body
  }
}

function refusal(cause: unknown, queue: string): unknown {
  const { code, message } = (cause ?? {}) as { code?: unknown; message?: unknown }
  if (!CHANNEL_REFUSALS.has(code)) return cause
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    `consume: expected the queue '${queue}' to exist and to be this user's to consume, received ` +
      `'${String(message).slice(0, 200)}'; declare it, or correct its name, arguments or rights`,
    { cause },
  )
}
