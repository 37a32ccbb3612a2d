import type { Deduplicator } from '@oncemq/core'
import type { Receiver, Session } from '@oncemq/core/broker'
import { ChannelAcks } from './acks.ts'
import type { AmqpMessage, Consuming, RawChannel } from './amqp.ts'
import { answerOf } from './amqp.ts'
import type { ChannelSource } from './channel-source.ts'
import { Copies } from './copies.ts'
import type { Delivery } from './delivery.ts'
import { replyError } from './error-reply.ts'
import { Publisher } from './publisher.ts'
import type { ConsumeSettings } from './settings.ts'

/** What a session is made of. */
export interface SessionParts<Tx> {
  readonly channel: RawChannel
  readonly channels: ChannelSource
  readonly settings: ConsumeSettings<Tx>
  readonly receiver: Receiver<AmqpMessage>
  /** Whether it begins with one message at a time: see {@link QueueSource}. */
  readonly isCareful: boolean
}

/**
 * The managed consumer's time on one raw channel. It ends when the channel closes or the server cancels the
 * consumer; what it delivered is then delivered again elsewhere, and is settled here no more.
 *
 *   consuming ⇄ paused        both ──channel closed, or cancelled by the server──▶ ended
 */
export abstract class ChannelSession<Tx> implements Session {
  protected readonly channel: RawChannel
  protected readonly channels: ChannelSource
  protected readonly settings: ConsumeSettings<Tx>
  protected readonly acks: ChannelAcks
  protected readonly copies: Copies
  readonly #receiver: Receiver<AmqpMessage>
  readonly #publisher: Publisher
  readonly #onClose = (): void => this.end()
  #consumerTag: string | undefined
  /**
   * What was asked of the channel last: one thing after the other, so that there is never a second consumer.
   */
  #turn: Promise<unknown> | undefined
  #closing: Promise<void> | undefined
  readonly #openedMs: number
  #endedMs = Number.POSITIVE_INFINITY

  constructor({ channel, channels, settings, receiver }: SessionParts<Tx>) {
    this.channel = channel
    this.channels = channels
    this.settings = settings
    this.#receiver = receiver
    this.acks = new ChannelAcks(channel)
    const { dedup } = this
    this.#openedMs = dedup.settings.clock.monotonicMs()
    this.#publisher = new Publisher(channels.confirmChannel(channel), dedup.settings)
    this.copies = new Copies(this.#publisher, {
      ...settings,
      clock: dedup.settings.clock,
      secret: () => dedup.secret(),
      onDeadLettered: (delivery) => replyError(delivery, settings),
    })
    channel.on('close', this.#onClose)
  }

  /** For how long it was open, once it has ended. */
  get lastedMs(): number {
    return this.#endedMs - this.#openedMs
  }

  /** Begins to receive. @throws OncemqError for a queue that cannot be consumed so. */
  abstract start(): Promise<void>

  abstract resume(): Promise<void>

  /** A message has come. */
  protected abstract received(message: AmqpMessage): void

  pause(): Promise<void> {
    return this.inTurn(() => this.unsubscribe())
  }

  async stop(): Promise<void> {
    await this.pause().catch(() => undefined)
  }

  /** A connection that is blocked answers nothing: one that does not must not keep the others. */
  close(): Promise<void> {
    this.#closing ??= this.closeNow()
    return this.#closing
  }

  protected async closeNow(): Promise<void> {
    this.acks.flush()
    this.channel.removeListener('close', this.#onClose)
    // A channel of the user's stays open: what it delivered would never be delivered again.
    if (this.channels.isShared) this.acks.giveBack()
    await Promise.all([this.#publisher.close(), this.channels.release(this.channel)])
    if (!this.channels.isShared) this.acks.end()
  }

  protected get dedup(): Deduplicator<never> {
    return this.settings.dedup as unknown as Deduplicator<never>
  }

  protected async prefetched(prefetch = this.settings.prefetch): Promise<void> {
    // Some imitations of amqplib answer nothing here.
    await answerOf((done) => this.channel.prefetch(prefetch, false, done) ?? done(null))
  }

  protected get isConsuming(): boolean {
    return this.#consumerTag !== undefined
  }

  protected async subscribe(consume: object): Promise<void> {
    const receive = (message: AmqpMessage | null): void => this.#receive(message)
    const consuming = await answerOf<Consuming>((done) =>
      this.channel.consume(this.settings.queue, receive, consume, done),
    )
    this.#consumerTag = consuming.consumerTag
  }

  protected async unsubscribe(): Promise<void> {
    const consumerTag = this.#consumerTag
    this.#consumerTag = undefined
    if (consumerTag === undefined) return
    await answerOf((done) => this.channel.cancel(consumerTag, done))
  }

  /** Begins at once where nothing is under way, before anything else that is sent in the same step. */
  protected inTurn(action: () => Promise<void>): Promise<void> {
    const turn = this.#turn === undefined ? action() : this.#turn.then(action)
    const ended = turn
      .catch(() => undefined)
      .then(() => {
        if (this.#turn === ended) this.#turn = undefined
      })
    this.#turn = ended
    return turn
  }

  protected deliver(delivery: Delivery): void {
    const { payload } = this.settings
    if (payload !== undefined) delivery.body = payloadOf(delivery, payload)
    this.#receiver.received(delivery)
  }

  /** The channel is gone, or shall be: nothing of it is settled any more. */
  protected end(error?: unknown): void {
    this.#endedMs = Math.min(this.#endedMs, this.dedup.settings.clock.monotonicMs())
    this.acks.end()
    this.#receiver.ended(error)
  }

  #receive(message: AmqpMessage | null): void {
    if (message !== null) return this.received(message)
    this.#consumerTag = undefined
    if (this.channels.isShared) this.acks.giveBack()
    this.end()
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
