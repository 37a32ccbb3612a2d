import { Condition } from '@oncemq/core/broker'
import type { Clock } from '@oncemq/core/broker'
import type { OncemqError } from '@oncemq/core'
import type { AmqpMessage, Consuming, RawChannel } from './amqp.ts'
import { answerOf } from './amqp.ts'
import { Delivery } from './delivery.ts'
import { streamRefusal } from './streams.ts'
import type { Settler } from './settler.ts'

export interface SessionOptions {
  readonly queue: string
  readonly prefetch: number
  readonly consume: object
  readonly clock: Clock
}

const OVER_CHECK_MS = 86_400_000

/**
 * The managed consumer's time on one raw channel. It is over when the channel closes or the server cancels
 * the consumer; what it delivered is then delivered again elsewhere, and is settled here no more.
 *
 *   consuming ⇄ paused        both ──channel closed, or cancelled by the server──▶ over
 */
export class Session {
  readonly channel: RawChannel
  readonly settler: Settler
  /** Why what was delivered cannot be consumed at all. */
  refusal: OncemqError | undefined
  readonly #options: SessionOptions
  readonly #onDelivery: (session: Session, delivery: Delivery) => void
  readonly #stopping = new AbortController()
  readonly #ended = new Condition()
  #consumerTag: string | undefined
  #pausing: Promise<void> | undefined

  constructor(
    channel: RawChannel,
    settler: Settler,
    options: SessionOptions,
    onDelivery: (session: Session, delivery: Delivery) => void,
  ) {
    this.channel = channel
    this.settler = settler
    this.#options = options
    this.#onDelivery = onDelivery
    channel.on('close', () => this.end())
  }

  /** Aborts when the session is over or shall be: what waits for a key or the store stops waiting. */
  get signal(): AbortSignal {
    return this.#stopping.signal
  }

  async start(): Promise<void> {
    // Some imitations of amqplib answer nothing here.
    await answerOf((done) => this.channel.prefetch(this.#options.prefetch, false, done) ?? done(null))
    await this.#consume()
  }

  /** Resolves when the session is over. */
  async over(): Promise<void> {
    while (this.settler.acks.open) await this.#ended.wait(this.#options.clock, OVER_CHECK_MS)
  }

  /** The channel is gone: nothing of it is settled any more. */
  end(): void {
    this.settler.acks.gone()
    this.#stopping.abort()
    this.#ended.open()
  }

  /** Takes no further messages. Those that wait for a key or for the store stop waiting. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#cancel()
  }

  /** Takes no further messages until `resume` resolves. Resolves when the broker sends none any more. */
  pause(resume: () => Promise<boolean>): Promise<void> {
    if (this.#pausing !== undefined) return this.#pausing
    const pausing = this.#cancel()
    this.#pausing = pausing
    void pausing.then(async () => {
      const goesOn = await resume()
      this.#pausing = undefined
      if (goesOn && !this.signal.aborted) await this.#consume().catch(() => this.end())
    })
    return pausing
  }

  async #consume(): Promise<void> {
    const { queue, consume } = this.#options
    const receive = (message: AmqpMessage | null): void => this.#receive(message)
    const consuming = await answerOf<Consuming>((done) => this.channel.consume(queue, receive, consume, done))
    this.#consumerTag = consuming.consumerTag
  }

  #receive(message: AmqpMessage | null): void {
    if (message === null) {
      this.#consumerTag = undefined
      return this.end()
    }
    this.refusal = streamRefusal(message)
    if (this.refusal !== undefined) return this.end()
    const { acks } = this.settler
    const delivery = new Delivery(message, this.#options.queue, acks)
    acks.arrived(delivery)
    this.#onDelivery(this, delivery)
  }

  async #cancel(): Promise<void> {
    const consumerTag = this.#consumerTag
    this.#consumerTag = undefined
    if (consumerTag === undefined) return
    await answerOf((done) => this.channel.cancel(consumerTag, done)).catch(() => undefined)
  }
}
