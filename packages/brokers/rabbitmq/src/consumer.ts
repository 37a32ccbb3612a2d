import type { Deduplicator, HandlerContext, OncemqError, ProcessOutcome } from '@oncemq/core'
import { backoffMs, compose, Condition, requireInteger, settlementOf } from '@oncemq/core/broker'
import { isOncemqError } from '@oncemq/core'
import type { AmqpMessage } from './amqp.ts'
import { confirmChannelBeside } from './confirm-channel.ts'
import type { Delivery } from './delivery.ts'
import { readKey } from './message.ts'
import type { ConsumeOptions } from './options.ts'
import { encodeReply } from './replies.ts'
import { Session } from './session.ts'
import type { ConsumeSettings } from './settings.ts'
import { consumeSettings } from './settings.ts'
import { Settler } from './settler.ts'
import type { ChannelSource } from './sources.ts'
import { channelSource } from './sources.ts'
import { verify } from './verify.ts'

const REOPEN_BACKOFF = { firstMs: 100, factor: 2, maxMs: 5000 }
const CLOSE_TIMEOUT_MS = 30_000
const DAY_MS = 86_400_000

/** A running consumer. Made by {@link consume}. */
export class Consumer<Tx = undefined> {
  readonly #settings: ConsumeSettings<Tx>
  readonly #dedup: Deduplicator<Tx>
  readonly #source: ChannelSource
  readonly #process: (
    delivery: Delivery,
    key: string | undefined,
    signal: AbortSignal,
  ) => Promise<ProcessOutcome>
  readonly #idle = new Condition()
  readonly #closed = new AbortController()
  #session: Session | undefined
  #running = 0
  #closing: Promise<void> | undefined

  constructor(settings: ConsumeSettings<Tx>) {
    this.#settings = settings
    this.#dedup = settings.dedup
    this.#source = channelSource(settings)
    this.#process = this.#processing()
  }

  /** Opens the store and the first channel. Called by {@link consume}. */
  async start(): Promise<void> {
    verify(this.#dedup as unknown as Deduplicator)
    await this.#openStore()
    await this.#openSession()
    void this.#stayOpen()
  }

  /**
   * Takes no further messages, waits until the handlers that run have ended (up to `timeoutMs`, 30000 by
   * default), sends the acks, and closes what the consumer opened. Idempotent. What has not ended by then
   * comes again.
   */
  close({ timeoutMs = CLOSE_TIMEOUT_MS }: { timeoutMs?: number } = {}): Promise<void> {
    requireInteger('timeoutMs', timeoutMs, 0, DAY_MS)
    this.#closing ??= this.#close(timeoutMs)
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /**
   * A store that is down now is an outage like any other; a wrong set-up is told before any message sees it.
   */
  async #openStore(): Promise<void> {
    try {
      await this.#dedup.open()
    } catch (error) {
      if (!isOncemqError(error) || !error.retryable || error.code === 'ONCEMQ_CLOSED') throw error
    }
  }

  async #openSession(): Promise<void> {
    const { queue, prefetch, consume: args, connection, deadLetter } = this.#settings
    const { clock } = this.#dedup.settings
    const channel = await this.#source.open()
    try {
      const beside = confirmChannelBeside(channel, this.#source.connection ?? connection)
      const settings = {
        ...this.#settings,
        clock,
        deadLetter: deadLetter === 'park' ? ('park' as const) : ('nack' as const),
      }
      const settler = new Settler(channel, beside, settings, this.#dedup)
      const options = { queue, prefetch, consume: args, clock }
      const session = new Session(channel, settler, options, (from, delivery) =>
        this.#received(from, delivery),
      )
      await session.start()
      this.#session = session
    } catch (error) {
      await this.#source.release(channel)
      throw error
    }
  }

  /** One session after the other, until the consumer is closed or no channel can be had any more. */
  async #stayOpen(): Promise<void> {
    const { signal } = this.#closed
    for (let failures = 0; ;) {
      await this.#session?.over()
      if (signal.aborted) return
      const refusal = this.#session?.refusal
      await this.#retireSession()
      if (refusal !== undefined) return this.#end(refusal)
      try {
        await this.#openSession()
        failures = 0
        if (signal.aborted) return await this.#close(0)
      } catch (error) {
        if (isOncemqError(error) && error.code === 'ONCEMQ_BROKER_UNAVAILABLE') return this.#end(error)
        this.#dedup.warn(`consume: no channel (${nameOf(error)}); trying again`)
        const delayMs = backoffMs(REOPEN_BACKOFF, failures++)
        await new Condition().wait(this.#dedup.settings.clock, delayMs, signal)
        if (signal.aborted) return
      }
    }
  }

  #end(error: OncemqError): void {
    this.#dedup.warn(`the consumer has ended: ${error.message}`)
    this.#settings.onEnd?.(error)
  }

  async #retireSession(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    if (session === undefined) return
    await session.settler.close()
    await this.#source.release(session.channel)
  }

  #received(session: Session, delivery: Delivery): void {
    this.#running += 1
    void this.#handle(session, delivery, readKey(this.#settings.key, delivery.message))
  }

  async #handle(session: Session, delivery: Delivery, key: string | undefined): Promise<void> {
    const outcome = await this.#process(delivery, key, session.signal)
    await this.#settle(session, delivery, outcome)
    this.#running -= 1
    if (this.#running === 0) this.#idle.open()
  }

  #processing(): (
    delivery: Delivery,
    key: string | undefined,
    signal: AbortSignal,
  ) => Promise<ProcessOutcome> {
    const { middlewares } = this.#settings
    const innermost = (
      delivery: Delivery,
      key: string | undefined,
      signal: AbortSignal,
    ): Promise<ProcessOutcome> =>
      this.#dedup.process({ key, body: delivery.message.content, signal }, (context) =>
        this.#run(delivery, context),
      )
    if (middlewares.length === 0) return innermost
    return async (delivery, key, signal) => {
      const around = compose<AmqpMessage, ProcessOutcome>(middlewares, () => innermost(delivery, key, signal))
      try {
        return await around(delivery.message)
      } catch (error) {
        // A middleware's fault: the message comes again, and finds its key done if it was done.
        return { status: 'failed', final: false, error, attempt: 1 }
      }
    }
  }

  async #run(delivery: Delivery, context: HandlerContext<Tx>): Promise<Uint8Array | undefined> {
    const { message } = delivery
    const reply = encodeReply(await this.#settings.handler(message, context))
    if (reply === undefined || message.properties.replyTo === undefined) return undefined
    delivery.reply = reply
    return this.#settings.replayResult ? reply : undefined
  }

  async #settle(session: Session, delivery: Delivery, outcome: ProcessOutcome): Promise<void> {
    const { settler } = session
    const { retry, replayResult } = this.#settings
    if (outcome.status === 'duplicate' && replayResult) delivery.reply = outcome.result
    if (outcome.status === 'unavailable' && outcome.error.code === 'ONCEMQ_CLOSED') return
    const { reply } = delivery
    if (
      reply !== undefined &&
      isSuccess(outcome) &&
      !(await settler.reply(delivery.message, reply)) &&
      replayResult
    ) {
      return settler.holdThenRequeue(delivery, REOPEN_BACKOFF.firstMs)
    }
    const waited = outcome.status === 'busy' || outcome.status === 'unavailable'
    if (waited && session.signal.aborted) return delivery.acks.nack(delivery, true)
    if (outcome.status === 'unavailable' && this.#dedup.outage !== undefined) {
      await session.pause(() => this.#dedup.available(session.signal))
      return delivery.acks.nack(delivery, true)
    }
    const { onUnconfirmed } = this.#dedup.settings
    await settler.settle(delivery, settlementOf(outcome, { retry, onUnconfirmed }))
  }

  async #close(timeoutMs: number): Promise<void> {
    this.#closed.abort()
    await this.#closeSession(timeoutMs)
    await this.#source.close()
  }

  async #closeSession(timeoutMs: number): Promise<void> {
    const session = this.#session
    await session?.stop()
    if (this.#running > 0) await this.#idle.wait(this.#dedup.settings.clock, timeoutMs)
    await this.#retireSession()
    session?.end()
  }
}

/**
 * Consumes a queue: each message is claimed, handled once, recorded and settled. What happens to a delivery
 * is told in the table of this package's README.
 *
 * @throws OptionError for an option that is wrong; what amqplib throws if the queue cannot be consumed;
 * OncemqError for a store that is set up wrongly.
 * @example
 * const consumer = await consume({ connection, queue: 'payments', dedup,
 *   handler: async (message, { key, signal }) => { await charge(message, { key, signal }) } })
 */
export async function consume<Tx = undefined, Message extends AmqpMessage = AmqpMessage>(
  options: ConsumeOptions<Tx, Message>,
): Promise<Consumer<Tx>> {
  const consumer = new Consumer(consumeSettings(options as unknown as ConsumeOptions<Tx>))
  try {
    await consumer.start()
  } catch (error) {
    await consumer.close()
    throw error
  }
  return consumer
}

function isSuccess({ status }: ProcessOutcome): boolean {
  return status === 'completed' || status === 'duplicate' || status === 'unconfirmed'
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error
}
