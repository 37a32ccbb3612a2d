import type { ClaimOutcome } from '@oncemq/core/broker'
import type { Deduplicator } from '@oncemq/core'
import { retryDefaults, settlementOf } from '@oncemq/core/broker'
import type { RawConsumer, RocketmqMessage, RocketmqSimpleConsumer } from './client.ts'
import { messageGroupOf } from './client.ts'
import { Delivery, deliveryOf, remember } from './delivery.ts'
import { readKey } from './message.ts'
import type { DedupSimpleConsumerOptions } from './options.ts'
import { Parking } from './parking.ts'
import type { DedupSimpleConsumerSettings } from './settings.ts'
import { dedupSimpleConsumerSettings, refuseTransactional, requireDeduplicator } from './settings.ts'
import { checkedShutdown, checkedStartup } from './startup.ts'

/** The client's own defaults. */
const RECEIVE_MAX = 10
const INVISIBLE_MS = 15_000
/** A busy message comes again not before this: each time costs one of the group's attempts. */
const BUSY_MIN_MS = 10_000
const HANDED_BACK_MS = 1000
/** One for all messages: to make one took 3.6 us, about as much as a claim on MemoryStore. */
const NOT_WAITING = AbortSignal.abort()

/**
 * Wraps a SimpleConsumer, so that it receives each message once. It has every method of the consumer, and
 * code that was written for the consumer runs on it unchanged:
 *
 * - `receive` answers only messages whose key is granted; duplicates are acked, messages that are busy
 *   elsewhere come again later, and what is not to be processed is parked or dead-lettered;
 * - a message is kept hidden for `holdMs` while it is worked on; `changeInvisibleDuration` takes that over;
 * - `ack` records the message as done, then acks; a message that is not acked while it is hidden has failed,
 *   and its key is free when it comes again;
 * - `startup` and `shutdown` are {@link checkedStartup} and {@link checkedShutdown}.
 *
 * @throws OptionError for an option that is wrong; OncemqError `ONCEMQ_CONSUMER_UNSAFE` with strategy
 * `transactional`.
 * @example
 * const consumer = dedupSimpleConsumer(new SimpleConsumer({ ... }), dedup)
 * await consumer.startup()
 * for (const message of await consumer.receive(10)) { await charge(message); await consumer.ack(message) }
 */
export function dedupSimpleConsumer<Consumer extends RocketmqSimpleConsumer>(
  consumer: Consumer,
  dedup: Deduplicator,
  options: DedupSimpleConsumerOptions = {},
): Consumer {
  requireDeduplicator('dedupSimpleConsumer', dedup)
  refuseTransactional('dedupSimpleConsumer', dedup)
  const settings = dedupSimpleConsumerSettings(consumer, options)
  const understood = new WrappedConsumer(consumer as unknown as RawConsumer, dedup, settings).methods()
  return new Proxy(consumer, {
    get(target, name): unknown {
      if (typeof name === 'string' && Object.hasOwn(understood, name)) {
        return understood[name as keyof typeof understood]
      }
      // The client keeps its state in private fields, which a proxy does not have.
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

/** The methods of a SimpleConsumer that mean something else once it is wrapped. */
class WrappedConsumer {
  readonly #raw: RawConsumer
  readonly #dedup: Deduplicator
  readonly #settings: DedupSimpleConsumerSettings
  readonly #parking: Parking
  readonly #closing = new AbortController()

  constructor(raw: RawConsumer, dedup: Deduplicator, settings: DedupSimpleConsumerSettings) {
    this.#raw = raw
    this.#dedup = dedup
    this.#settings = settings
    this.#parking = new Parking(settings, dedup)
  }

  methods() {
    return {
      startup: () => checkedStartup(this.#raw),
      shutdown: () => this.#shutdown(),
      receive: this.#receive.bind(this),
      ack: this.#ack.bind(this),
      changeInvisibleDuration: this.#changeInvisibleDuration.bind(this),
    }
  }

  async #shutdown(): Promise<void> {
    this.#closing.abort()
    await checkedShutdown(this.#raw)
  }

  async #receive(max = RECEIVE_MAX, invisibleMs = INVISIBLE_MS): Promise<RocketmqMessage[]> {
    const messages = await this.#raw.receive(max, invisibleMs)
    const { clock } = this.#dedup.settings
    const asked = messages.map(async (message) => {
      const delivery = new Delivery(message, this.#raw, clock)
      delivery.hold(invisibleMs, this.#settings.holdMs, () => void delivery.claim?.release('failed'))
      return [delivery, await this.#ask(delivery, readKey(this.#settings.key, message))] as const
    })
    const granted: RocketmqMessage[] = []
    /** Message groups whose order would break if more of them were given out, and when they come again. */
    const stopped = new Map<string, number>()
    for (const [delivery, outcome] of await Promise.all(asked)) {
      if (await this.#isGiven(delivery, outcome, stopped)) granted.push(delivery.message)
    }
    return granted
  }

  /** Does not wait for a busy key: its neighbours shall not wait with it. Waits for a store that is down. */
  async #ask(delivery: Delivery, key: string | undefined): Promise<ClaimOutcome> {
    const { body } = delivery.message
    for (;;) {
      const outcome = await this.#dedup.claim({ key, body, signal: NOT_WAITING })
      if (outcome.status !== 'unavailable' || outcome.error.code === 'ONCEMQ_CLOSED') return outcome
      if (this.#closing.signal.aborted || this.#dedup.outage === undefined) return outcome
      await this.#dedup.available(this.#closing.signal)
    }
  }

  async #isGiven(delivery: Delivery, outcome: ClaimOutcome, stopped: Map<string, number>): Promise<boolean> {
    const group = messageGroupOf(delivery.message)
    const stoppedMs = group === undefined ? undefined : stopped.get(group)
    if (outcome.status === 'granted') delivery.claim = outcome.claim
    if (outcome.status === 'granted' || outcome.status === 'unprotected') {
      if (stoppedMs === undefined) {
        remember(delivery)
        return true
      }
      await delivery.claim?.release('unstarted')
      await delivery.defer(stoppedMs)
      return false
    }
    const againMs = await this.#end(delivery, outcome)
    if (againMs !== undefined && group !== undefined) stopped.set(group, Math.max(againMs, stoppedMs ?? 0))
    return false
  }

  /** Answers when the message comes again, if it does. */
  async #end(
    delivery: Delivery,
    outcome: Exclude<ClaimOutcome, { status: 'granted' | 'unprotected' }>,
  ): Promise<number | undefined> {
    const settlement = settlementOf(outcome, { retry: retryDefaults, onUnconfirmed: 'ack' })
    if (settlement.action === 'ack') await delivery.ack()
    if (settlement.action === 'dead-letter') await this.#parking.end(delivery, this.#raw, settlement.reason)
    if (settlement.action !== 'retry') return undefined
    const delayMs = settlement.reason === 'busy' ? Math.max(BUSY_MIN_MS, settlement.delayMs) : HANDED_BACK_MS
    await delivery.defer(delayMs)
    return delayMs
  }

  /** @throws what the client throws; the message is done by then, and may be acked again. */
  async #ack(message: RocketmqMessage): Promise<void> {
    const delivery = deliveryOf(message)
    if (delivery === undefined) return this.#raw.ack(message)
    const completion = (await delivery.claim?.complete()) ?? 'completed'
    const { onUnconfirmed } = this.#dedup.settings
    const isDone = completion === 'completed' || (completion === 'unconfirmed' && onUnconfirmed === 'ack')
    if (isDone) return delivery.last(() => this.#raw.ack(message))
    delivery.drop()
    this.#dedup.warn(
      'a message was acked that had failed, or was taken over, by then: it is not acked, and comes again',
    )
  }

  /** The message is hidden for exactly this long. If it is not acked by then, it has failed. */
  async #changeInvisibleDuration(message: RocketmqMessage, invisibleMs: number): Promise<void> {
    const delivery = deliveryOf(message)
    if (delivery === undefined) return this.#raw.changeInvisibleDuration(message, invisibleMs)
    await delivery.last(() => this.#raw.changeInvisibleDuration(message, invisibleMs))
    delivery.endAfter(invisibleMs, () => void delivery.claim?.release('failed'))
  }
}
