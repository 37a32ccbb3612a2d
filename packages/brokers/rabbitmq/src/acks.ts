import { setMaxListeners } from 'node:events'

import type { Clock } from '@oncemq/core/broker'
import { Condition, LinkedList } from '@oncemq/core/broker'
import type { AmqpMessage, RawChannel } from './amqp.ts'
import type { Acks, Delivery } from './delivery.ts'

/**
 * The unsettled deliveries of one raw channel. Each is settled once, on this channel, or never: when the
 * channel is gone the broker delivers them again by itself.
 *
 * Acks of one turn leave together. Those that stand before every unsettled delivery leave as one frame with
 * `allUpTo`, as long as no tag is missing here: a tag that we have not seen belongs to someone who uses the
 * raw channel too.
 */
export class ChannelAcks implements Acks {
  readonly #channel: RawChannel
  readonly #unsettled = new LinkedList<Delivery>()
  /** Tags of messages that are looked into, and are no deliveries yet. */
  readonly #expected = new Set<number>()
  #acking: Delivery[] = []
  #lastTag = 0
  #seenAll: boolean
  readonly #gone = new AbortController()
  readonly #progress = new Condition()

  constructor(channel: RawChannel) {
    this.#channel = channel
    setMaxListeners(0, this.#gone.signal)
    // Imitations of amqplib may not do it right: fake-amqplib 3.7 loses its books after an ack with allUpTo.
    this.#seenAll = 'pushConfirmCallback' in channel
  }

  /** Whether the channel still takes acks, as far as is known. */
  get open(): boolean {
    return !this.#gone.signal.aborted
  }

  get gone(): AbortSignal {
    return this.#gone.signal
  }

  /** A message has come that is looked into before it is a delivery. */
  expect(tag: number): void {
    this.#expected.add(tag)
  }

  arrived(delivery: Delivery): void {
    this.#expected.delete(delivery.tag)
    if (delivery.tag !== this.#lastTag + 1) this.#seenAll = false
    this.#lastTag = delivery.tag
    this.#unsettled.add(delivery)
  }

  /**
   * The unsettled delivery that `message` is a copy of; `foreign` for a copy of something else whose tag is
   * one of ours (a message of an earlier channel, one that was settled or given again since), which must not
   * settle what has that tag now; `undefined` for a tag that is not ours.
   */
  find(message: AmqpMessage): Delivery | 'foreign' | undefined {
    // What is no message at all is for amqplib to refuse.
    const { deliveryTag } = (message as Partial<AmqpMessage> | undefined)?.fields ?? {}
    if (deliveryTag === undefined) return undefined
    for (const delivery of this.#unsettled) {
      if (delivery.tag === deliveryTag) return isCopyOf(message, delivery.message) ? delivery : 'foreign'
    }
    const isOurs = this.#expected.has(deliveryTag) || (this.#seenAll && deliveryTag <= this.#lastTag)
    return isOurs && deliveryTag > 0 ? 'foreign' : undefined
  }

  /** What the user was given and has not settled, up to a tag, in the order of arrival. */
  given(upToTag = Number.POSITIVE_INFINITY): Delivery[] {
    return [...this.#unsettled].filter(({ state, tag }) => state === 'given' && tag <= upToTag)
  }

  /** How many unsettled ones there are of that kind. */
  count(isMeant: (delivery: Delivery) => boolean): number {
    return [...this.#unsettled].filter(isMeant).length
  }

  /** What the user was given and may still work on: a handler may settle its message and then send it on. */
  handled(): Delivery[] {
    return [...this.#unsettled].filter(({ state }) => state !== 'held')
  }

  /** Resolves when nothing is unsettled but what the user has, the channel is gone, or after `withinMs`. */
  async drained(clock: Clock, withinMs: number): Promise<void> {
    const untilMs = clock.monotonicMs() + withinMs
    const isOurs = ({ state }: Delivery): boolean => state !== 'given'
    for (;;) {
      const leftMs = untilMs - clock.monotonicMs()
      if (!this.open || leftMs <= 0 || this.count(isOurs) === 0) return
      await this.#progress.wait(clock, leftMs, this.gone)
    }
  }

  /** Acks at the end of this turn. Does nothing for what is settled. */
  ack(delivery: Delivery): void {
    if (delivery.state === 'acking' || delivery.state === 'settled') return
    delivery.state = 'acking'
    this.#acking.push(delivery)
    if (this.#acking.length === 1) queueMicrotask(() => this.flush())
  }

  /** Nacks at once, with the flags as given: what they mean by default is amqplib's to say. */
  nack(delivery: Delivery, requeue: boolean | undefined, verb: 'nack' | 'reject' = 'nack'): void {
    if (delivery.state === 'acking' || delivery.state === 'settled') return
    this.#settled(delivery)
    const { settling } = delivery
    this.#send(() =>
      verb === 'nack'
        ? this.#channel.nack(settling, false, requeue)
        : this.#channel.reject(settling, requeue),
    )
  }

  /** Returns all that is unsettled, on a channel that stays open. */
  giveBack(): void {
    const unsettled = [...this.#unsettled]
    for (const delivery of unsettled) this.nack(delivery, true)
  }

  flush(): void {
    const acking = this.#acking
    if (acking.length === 0) return
    this.#acking = []
    if (this.#seenAll && acking.length > 1) this.#ackFirst()
    for (const delivery of acking) {
      if (delivery.state === 'settled') continue
      this.#settled(delivery)
      this.#send(() => this.#channel.ack(delivery.settling))
    }
  }

  /** The channel is gone: nothing is told any more. */
  end(): void {
    this.#gone.abort()
  }

  #ackFirst(): void {
    let last: Delivery | undefined
    let count = 0
    for (let next = this.#unsettled.first; next?.state === 'acking'; next = this.#unsettled.first) {
      this.#settled(next)
      last = next
      count += 1
    }
    if (last === undefined) return
    const { settling } = last
    this.#send(() => this.#channel.ack(settling, count > 1))
  }

  #settled(delivery: Delivery): void {
    delivery.state = 'settled'
    this.#unsettled.delete(delivery)
    delivery.intake?.settled()
    this.#progress.notifyAll()
  }

  /** A channel that closes at this moment throws; the message is delivered again. */
  #send(settle: () => unknown): void {
    if (!this.open) return
    try {
      settle()
    } catch {
      this.end()
    }
  }
}

/**
 * Tags begin anew with each channel, and consumer tags may be the user's own: more than they has to agree.
 */
function isCopyOf(copy: AmqpMessage, { content, fields, properties }: AmqpMessage): boolean {
  const { consumerTag, exchange, redelivered, routingKey } = fields
  const isSameWay =
    copy.fields.consumerTag === consumerTag &&
    copy.fields.exchange === exchange &&
    copy.fields.routingKey === routingKey &&
    copy.fields.redelivered === redelivered
  const others = copy as Partial<AmqpMessage>
  const isSameId = (others.properties ?? properties).messageId === properties.messageId
  return isSameWay && isSameId && (!Buffer.isBuffer(others.content) || others.content.equals(content))
}
