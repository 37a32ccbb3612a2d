import { OncemqError } from '@oncemq/core'
import type { MessageSource, Receiver, Session, Timer } from '@oncemq/core/broker'
import type { AmqpMessage, RawChannel } from './amqp.ts'
import type { ChannelSource } from './channel-source.ts'
import type { SessionParts } from './channel-session.ts'
import { ChannelSession } from './channel-session.ts'
import { isRefusal, streamRefused } from './queue-kind.ts'
import { Reception } from './reception.ts'
import type { ConsumeSettings } from './settings.ts'
import { followsLog } from './settings.ts'
import { StreamSession } from './stream/stream-session.ts'

/** A session that ends sooner than this may have been ended by what it was sent. */
const BRIEF_MS = 5000
/** So many of them in a row are no accident. */
const BRIEF_MAX = 2

/**
 * Where the managed consumer's messages come from: one channel after the other. There are messages at which
 * the broker closes the connection of whoever consumes them, each time; all that was sent with them is
 * returned with them, and counted. So after some sessions that ended at once the next one begins with one
 * message at a time, and has its whole window when it has lasted.
 */
export class QueueSource<Tx> implements MessageSource<AmqpMessage> {
  readonly #settings: ConsumeSettings<Tx>
  readonly #channels: ChannelSource
  #isFirst = true
  #last: ChannelSession<Tx> | undefined
  /** How many sessions in a row were brief. */
  #brief = 0
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
    this.#countBrief()
    const session = this.#session(channel, receiver)
    try {
      await session.start()
    } catch (error) {
      this.#brief += 1
      await session.close()
      // Later a queue may be missing for a while; at start it is a wrong name.
      throw this.#isFirst ? refusal(error, this.#settings.queue) : error
    }
    this.#isFirst = false
    this.#last = session
    return session
  }

  close(): Promise<void> {
    this.#isClosed = true
    return this.#channels.close()
  }

  #countBrief(): void {
    if (this.#last !== undefined) this.#brief = this.#last.lastedMs < BRIEF_MS ? this.#brief + 1 : 0
    this.#last = undefined
  }

  #session(channel: RawChannel, receiver: Receiver<AmqpMessage>): ChannelSession<Tx> {
    const Kind = followsLog(this.#settings) ? StreamSession : ConsumerSession
    const isCareful = this.#brief >= BRIEF_MAX
    return new Kind({ channel, channels: this.#channels, settings: this.#settings, receiver, isCareful })
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
  readonly #isCareful: boolean
  #widening: Timer | undefined

  constructor(parts: SessionParts<Tx>) {
    super(parts)
    const { channel, channels, settings, isCareful } = parts
    this.#isCareful = isCareful
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
    await this.prefetched(this.#isCareful ? 1 : undefined)
    await this.resume()
    if (!this.#isCareful) return
    this.#widening = this.dedup.settings.clock.after(BRIEF_MS, () => this.#widen(), 'background')
  }

  resume(): Promise<void> {
    return this.inTurn(() => this.subscribe(this.settings.consume))
  }

  protected received(message: AmqpMessage): void {
    this.#reception.receive(message)
  }

  protected override closeNow(): Promise<void> {
    this.#widening?.cancel()
    return super.closeNow()
  }

  /** A window is that of a consumer, for as long as it is one. */
  #widen(): void {
    const widened = this.inTurn(async () => {
      const { isConsuming } = this
      await this.unsubscribe()
      await this.prefetched()
      if (isConsuming) await this.subscribe(this.settings.consume)
    })
    widened.catch(() => this.end())
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
