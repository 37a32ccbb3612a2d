import type { Deduplicator, Delivery, ProcessOutcome } from '@oncemq/core'
import { OncemqError } from '@oncemq/core'
import {
  DeliveryLoop,
  pause,
  refuseTransactional,
  rejectedForAttempts,
  requireDeduplicator,
  retryDefaults,
} from '@oncemq/core/broker'
import type { RawConsumer, RocketmqMessage, RocketmqSimpleConsumer } from './client.ts'
import { GivenMessage, givenOf, remember } from './given-message.ts'
import type { HiddenMessage } from './hidden-message.ts'
import { hidden } from './hidden-message.ts'
import { startClient, stopClient } from './lifecycle.ts'
import type { DedupSimpleConsumerOptions } from './options.ts'
import { unpackBodies } from './packed-bodies.ts'
import { Parking } from './parking.ts'
import type { DedupSimpleConsumerSettings } from './settings.ts'
import { dedupSimpleConsumerSettings } from './settings.ts'

/** The client's own defaults. */
const RECEIVE_MAX = 10
const INVISIBLE_MS = 15_000
/** How many messages wait here for a busy key or for the store. */
const WINDOW = 256
const GIVE_BACK_MS = 2000
const FAILED_MAX = 10_000

/**
 * Wraps a SimpleConsumer, so that it receives each message once. It has every method of the consumer, and
 * code that was written for the consumer runs on it unchanged:
 *
 * - `receive` answers only messages whose key is granted; duplicates are acked, messages that are busy
 *   elsewhere wait here and are answered later, and what is not to be processed is parked or dead-lettered;
 * - a message is kept hidden for `holdMs` while it is worked on; `changeInvisibleDuration` takes that over;
 * - `ack` records the message as done, then acks; a message that is not acked while it is hidden has failed,
 *   and its key is free when it is delivered again;
 * - `startup` and `shutdown` are {@link startClient} and {@link stopClient}.
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
  refuseTransactional(
    'dedupSimpleConsumer',
    dedup,
    'use consume({ ... }) or dedupListener(...), which hand over the transaction',
  )
  const settings = dedupSimpleConsumerSettings(consumer, options)
  const raw = consumer as unknown as RawConsumer
  unpackBodies(raw, (message) => dedup.warn(message))
  const understood = new WrappedConsumer(raw, dedup as unknown as Deduplicator<never>, settings).methods()
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
  readonly #dedup: Deduplicator<never>
  readonly #settings: DedupSimpleConsumerSettings
  readonly #parking: Parking
  readonly #loop: DeliveryLoop<RocketmqMessage>
  readonly #closing = new AbortController()
  /** Those that are granted and that nobody has received yet. */
  readonly #granted: GivenMessage[] = []
  /** The ids of messages without a record that failed for the last time here, and come once more. */
  readonly #failed = new Set<string>()
  #isDedupClosed = false

  constructor(raw: RawConsumer, dedup: Deduplicator<never>, settings: DedupSimpleConsumerSettings) {
    this.#raw = raw
    this.#dedup = dedup
    this.#settings = settings
    this.#parking = new Parking(settings, dedup)
    this.#loop = new DeliveryLoop({
      dedup,
      key: settings.key,
      policy: { retry: retryDefaults, onUnconfirmed: dedup.settings.onUnconfirmed },
      window: WINDOW,
      concurrency: WINDOW,
      // A message is renewed for as long as it waits, and each delivery costs one of its group's attempts.
      holdMs: Number.POSITIVE_INFINITY,
      onClosed: () => (this.#isDedupClosed = true),
    })
  }

  methods() {
    return {
      startup: () => startClient(this.#raw),
      shutdown: () => this.#shutdown(),
      receive: this.#receive.bind(this),
      ack: this.#ack.bind(this),
      changeInvisibleDuration: this.#changeInvisibleDuration.bind(this),
    }
  }

  async #shutdown(): Promise<void> {
    const { clock } = this.#dedup.settings
    this.#loop.stop()
    const bound = new AbortController()
    await Promise.race([this.#giveBack(bound.signal), pause(clock, GIVE_BACK_MS, bound.signal)])
    bound.abort()
    this.#closing.abort()
    await stopClient(this.#raw)
  }

  /** What nobody has received, and what is still granted meanwhile. */
  async #giveBack(signal: AbortSignal): Promise<void> {
    for (;;) {
      await Promise.all(this.#granted.splice(0).map((message) => message.giveBack()))
      if (signal.aborted) return
      if (this.#loop.isEmpty && this.#granted.length === 0) return
      if (this.#granted.length === 0) await this.#loop.changed(signal)
    }
  }

  async #receive(max = RECEIVE_MAX, invisibleMs = INVISIBLE_MS): Promise<RocketmqMessage[]> {
    if (this.#granted.length === 0 && (await this.#hasRoom())) await this.#ask(max, invisibleMs)
    if (this.#isDedupClosed) throw dedupClosed()
    // The store answers claims in any order.
    this.#granted.sort((one, other) => one.hidden.arrivedAs - other.hidden.arrivedAs)
    const taken = this.#granted.splice(0, max).filter((message) => message.take())
    return taken.map((given) => given.hidden.message)
  }

  /** Nothing more is received than can wait here. */
  async #hasRoom(): Promise<boolean> {
    const { signal } = this.#closing
    if (this.#isDedupClosed) return false
    await this.#dedup.available(signal)
    while (this.#loop.room <= 0 && !signal.aborted) await this.#loop.changed(signal)
    return !signal.aborted
  }

  /** Resolves when each message is granted, settled, or waits: its neighbours do not wait with it. */
  async #ask(max: number, invisibleMs: number): Promise<void> {
    const { signal } = this.#closing
    const views = await this.#raw.receive(Math.min(max, this.#loop.room), invisibleMs)
    const services = { consumer: this.#raw, dedup: this.#dedup, parking: this.#parking, signal }
    for (const message of await hidden(views, invisibleMs, services)) {
      void this.#loop.run(message, (_, delivery) => this.#claim(message, delivery))
    }
    while (this.#loop.active > 0 && !signal.aborted) await this.#loop.changed(signal)
  }

  /** Claims the key of a message for the user, whose message it is when it is granted. */
  async #claim(message: HiddenMessage, delivery: Delivery): Promise<ProcessOutcome | undefined> {
    const { clock, attemptsMax } = this.#dedup.settings
    const { messageId } = message.arrival.message
    // Elsewhere nobody knows whether it failed or ended its process: it is started once more there, alone.
    if (this.#failed.delete(messageId)) return rejectedForAttempts(delivery.startsBefore ?? 0, attemptsMax)
    const outcome = await this.#dedup.claim(delivery)
    if (!('claim' in outcome)) return outcome
    const { claim, status } = outcome
    const { holdMs } = this.#settings
    const warn = (text: string): void => this.#dedup.warn(text)
    const onSpent = status === 'unprotected' ? () => this.#rememberFailed(messageId) : undefined
    const given = new GivenMessage(message, { claim, attemptsMax, holdMs, clock, warn, onSpent })
    remember(given)
    this.#granted.push(given)
    return undefined
  }

  #rememberFailed(messageId: string): void {
    if (this.#failed.size >= FAILED_MAX) this.#failed.clear()
    this.#failed.add(messageId)
  }

  /** @throws what the client throws; the message is done by then, and may be acked again. */
  async #ack(message: RocketmqMessage): Promise<void> {
    const given = givenOf(message)
    if (given === undefined) return this.#raw.ack(message)
    const { onUnconfirmed } = this.#dedup.settings
    if (await given.complete(onUnconfirmed, () => this.#raw.ack(given.hidden.hold.view))) return
    this.#dedup.warn(
      'a message was acked that had failed, or was taken over, by then: it is not acked, and is ' +
        'delivered again',
    )
  }

  async #changeInvisibleDuration(message: RocketmqMessage, invisibleMs: number): Promise<void> {
    const given = givenOf(message)
    if (given === undefined) return this.#raw.changeInvisibleDuration(message, invisibleMs)
    const { view } = given.hidden.hold
    await given.hideFor(invisibleMs, () => this.#raw.changeInvisibleDuration(view, invisibleMs))
  }
}

function dedupClosed(): OncemqError {
  return new OncemqError(
    'ONCEMQ_CLOSED',
    'receive: expected an open deduplicator, received a closed one; close a deduplicator after its consumers',
  )
}
