import type { Deduplicator, ProcessOutcome } from '@oncemq/core'
import { backoffMs, compose, Condition, requireInteger, settlementOf } from '@oncemq/core/broker'
import { isOncemqError } from '@oncemq/core'
import type { RawConsumer, RocketmqMessage } from './client.ts'
import { messageGroupOf } from './client.ts'
import { Delivery } from './delivery.ts'
import { MessageGroups } from './message-groups.ts'
import { readKey } from './message.ts'
import type { ConsumeOptions } from './options.ts'
import { Parking } from './parking.ts'
import type { ConsumeSettings } from './settings.ts'
import { consumeSettings } from './settings.ts'
import { checkedShutdown, checkedStartup } from './startup.ts'

/** The most that the server answers at once. */
const RECEIVE_MAX = 32
const RECEIVE_BACKOFF = { firstMs: 100, factor: 2, maxMs: 5000 }
/** A busy message comes again not before this: each time costs one of the group's attempts. */
const BUSY_MIN_MS = 10_000
/** Whoever is at a busy key may be done before its lease ends. */
const LOOK_AGAIN_MS = 1000
const HANDED_BACK_MS = 1000
const CLOSE_TIMEOUT_MS = 30_000
/** The client cannot end a long poll; what it still brings is handed back. */
const POLL_END_MS = 2000
const DAY_MS = 86_400_000

/** A running consumer. Made by {@link consume}. */
export class Consumer<Tx = undefined> {
  readonly #settings: ConsumeSettings<Tx>
  readonly #dedup: Deduplicator<Tx>
  readonly #raw: RawConsumer
  readonly #parking: Parking
  readonly #process: (delivery: Delivery, key: string | undefined) => Promise<ProcessOutcome>
  readonly #groups = new MessageGroups()
  readonly #stopping = new AbortController()
  /** Opens whenever a message is settled. */
  readonly #settled = new Condition()
  #running = 0
  #isOwned = false
  #polling: Promise<void> | undefined
  #closing: Promise<void> | undefined

  constructor(settings: ConsumeSettings<Tx>) {
    this.#settings = settings
    this.#dedup = settings.dedup
    this.#raw = settings.consumer as unknown as RawConsumer
    this.#parking = new Parking(settings, settings.dedup)
    this.#process = this.#processing()
  }

  /** Opens the store and starts the client, if it is not started. Called by {@link consume}. */
  async start(): Promise<void> {
    await this.#openStore()
    if (this.#raw.isRunning?.() === false) {
      this.#isOwned = true
      await checkedStartup(this.#raw)
    }
    this.#polling = this.#poll()
  }

  /**
   * Takes no further messages, waits until the handlers that run have ended (up to `timeoutMs`, 30000 by
   * default), and shuts the client down if it started it. Idempotent. What has not ended by then comes again.
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

  async #poll(): Promise<void> {
    const { concurrency, invisibleMs } = this.#settings
    const { signal } = this.#stopping
    for (let failures = 0; !signal.aborted;) {
      if (!(await this.#isReady())) continue
      try {
        const max = Math.min(RECEIVE_MAX, concurrency - this.#running)
        const messages = await this.#raw.receive(max, invisibleMs)
        failures = 0
        for (const message of messages) this.#received(message)
      } catch (error) {
        if (signal.aborted) return
        if (failures === 0)
          this.#dedup.warn(`consume: nothing can be received (${whatOf(error)}); trying again`)
        await this.#pause(backoffMs(RECEIVE_BACKOFF, failures++))
      }
    }
  }

  /** Waits for a free place and for the store. */
  async #isReady(): Promise<boolean> {
    const { signal } = this.#stopping
    if (this.#dedup.outage !== undefined) return this.#dedup.available(signal)
    if (this.#running < this.#settings.concurrency) return true
    await this.#settled.wait(this.#dedup.settings.clock, DAY_MS, signal)
    return false
  }

  #received(message: RocketmqMessage): void {
    const delivery = new Delivery(message, this.#raw, this.#dedup.settings.clock)
    delivery.hold(this.#settings.invisibleMs)
    const key = readKey(this.#settings.key, message)
    this.#running += 1
    void this.#groups
      .run(messageGroupOf(message), () => this.#work(delivery, key))
      .then(() => {
        this.#running -= 1
        this.#settled.open()
      })
  }

  /** Never rejects. A message of a group stays here until it is settled, so that none overtakes it. */
  async #work(delivery: Delivery, key: string | undefined): Promise<void> {
    for (;;) {
      if (this.#stopping.signal.aborted) return delivery.defer(HANDED_BACK_MS)
      const againMs = await this.#settle(delivery, await this.#process(delivery, key))
      if (againMs === undefined) return
      await this.#pause(againMs)
    }
  }

  #processing(): (delivery: Delivery, key: string | undefined) => Promise<ProcessOutcome> {
    const { middlewares, handler } = this.#settings
    const { signal } = this.#stopping
    const innermost = ({ message }: Delivery, key: string | undefined): Promise<ProcessOutcome> =>
      this.#dedup.process({ key, body: message.body, signal }, async (context) => {
        await handler(message, context)
      })
    if (middlewares.length === 0) return innermost
    return async (delivery, key) => {
      const around = compose<RocketmqMessage, ProcessOutcome>(middlewares, () => innermost(delivery, key))
      try {
        return await around(delivery.message)
      } catch (error) {
        // A middleware's fault: the message comes again, and finds its key done if it was done.
        return { status: 'failed', final: false, error, attempt: 1 }
      }
    }
  }

  /** Answers after how long the message is to be tried again here; undefined when it is settled. */
  async #settle(delivery: Delivery, outcome: ProcessOutcome): Promise<number | undefined> {
    if (outcome.status === 'unavailable' && (await this.#isBack(outcome.error))) return 0
    const { retry } = this.#settings
    const { onUnconfirmed } = this.#dedup.settings
    const settlement = settlementOf(outcome, { retry, onUnconfirmed })
    switch (settlement.action) {
      case 'ack':
        await delivery.ack()
        return undefined
      case 'dead-letter':
        await this.#parking.end(delivery, this.#raw, settlement.reason)
        return undefined
      case 'retry': {
        const { delayMs, reason } = settlement
        const isOrdered = messageGroupOf(delivery.message) !== undefined
        const isBusy = reason === 'busy'
        if (isOrdered && !this.#stopping.signal.aborted)
          return isBusy ? Math.min(LOOK_AGAIN_MS, delayMs) : delayMs
        await delivery.defer(isBusy ? Math.max(BUSY_MIN_MS, delayMs) : delayMs)
        return undefined
      }
    }
  }

  /** While the store is down messages are held: each that is given back costs one of the group's attempts. */
  async #isBack(error: unknown): Promise<boolean> {
    const { signal } = this.#stopping
    if (signal.aborted || (isOncemqError(error) && error.code === 'ONCEMQ_CLOSED')) return false
    return this.#dedup.available(signal)
  }

  async #close(timeoutMs: number): Promise<void> {
    const { clock } = this.#dedup.settings
    this.#stopping.abort()
    const endMs = clock.monotonicMs() + timeoutMs
    while (this.#running > 0 && clock.monotonicMs() < endMs) {
      await this.#settled.wait(clock, endMs - clock.monotonicMs())
    }
    const polled = new Condition()
    void this.#polling?.then(() => polled.open())
    await polled.wait(clock, Math.min(POLL_END_MS, timeoutMs))
    if (this.#isOwned) await checkedShutdown(this.#raw)
  }

  async #pause(delayMs: number): Promise<void> {
    await new Condition().wait(this.#dedup.settings.clock, delayMs, this.#stopping.signal)
  }
}

/**
 * Consumes with a SimpleConsumer: each message is received, claimed, handled once, recorded and acked. What
 * happens to a delivery is told in the table of this package's README.
 *
 * @throws OptionError for an option that is wrong; OncemqError for a store that is set up wrongly, and those
 * of {@link checkedStartup}.
 * @example
 * const consumer = await consume({ consumer: new SimpleConsumer({ ... }), dedup,
 *   handler: async (message, { key, signal }) => { await charge(message, { key, signal }) } })
 */
export async function consume<Tx = undefined>(options: ConsumeOptions<Tx>): Promise<Consumer<Tx>> {
  const consumer = new Consumer(consumeSettings(options))
  await consumer.start()
  return consumer
}

/** The server's own words name the remedy: an `awaitDuration` that is too short, a topic that is gone. */
function whatOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message.split('\n', 1)[0]}` : typeof error
}
