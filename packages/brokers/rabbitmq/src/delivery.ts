import type { HandlerContext, ProcessOutcome } from '@oncemq/core'
import type { Claim, DeadLetter, HeldMessage, Linked, Retry } from '@oncemq/core/broker'
import { contextOf as claimContext } from '@oncemq/core/broker'
import type { AmqpMessage } from './amqp.ts'
import type { Arrival } from './arrival.ts'
import { renewed } from './arrival.ts'
import { copyable, wholeOf } from './copyable.ts'

/**
 * Where a delivery stands. `held`: it is on its way to a handler, or waits. `given`: the user has it.
 * `ending`: its end is being recorded. `acking`: the ack leaves at the end of this turn. `settled`: the
 * broker was told, or cannot be told any more.
 */
export type DeliveryState = 'held' | 'given' | 'ending' | 'acking' | 'settled'

/** Where a delivery is settled: the raw channel that delivered it. */
export interface Acks {
  readonly open: boolean
  /** Aborts when the channel is gone. */
  readonly gone: AbortSignal
  ack(delivery: Delivery): void
  nack(delivery: Delivery, requeue: boolean | undefined, verb?: 'nack' | 'reject'): void
  given(upToTag?: number): Delivery[]
}

/** The consumer of a wrapped channel, as its deliveries see it. */
export interface DeliveryOwner {
  /** Takes a message that the user's code has ended to what becomes of it. */
  again(delivery: Delivery, outcome: ProcessOutcome): void
  /** A message of this consumer was settled. */
  settled(): void
}

/** How copies of a delivery are sent. */
export interface CopySender {
  retry(delivery: Delivery, retry: Retry): Promise<void>
  deadLetter(delivery: Delivery, letter: DeadLetter): Promise<void>
  /** Sends a kept reply to whom the message names; resolves when the broker has it. */
  reply(delivery: Delivery, encoded: Uint8Array): Promise<void>
}

/**
 * The broker's default limit is 20 returns, at the 21st it deletes the message. A crash between a copy's
 * confirm and the ack leaves both, so that not each return may make another copy: at first each third, near
 * the limit each.
 */
const RETURNS_STEP = 3
const RETURNS_MANY = 15

/** One message, pinned to the raw channel that delivered it: a tag means nothing on any other. */
export class Delivery implements HeldMessage<AmqpMessage>, Linked {
  /** What the user's code is given; another object each time, so that a late settlement of one is known. */
  message: AmqpMessage
  /** As it arrived, whatever a handler does to the message. */
  readonly arrival: Arrival
  readonly tag: number
  readonly source: string
  readonly acks: Acks
  readonly #copies: CopySender
  state: DeliveryState = 'held'
  /** There while the user has the message; without a key for one that runs without protection. */
  claim: Claim | undefined
  /** What fingerprints are made of. */
  body: Uint8Array
  /** Whether the user's callback has not returned, or the promise that it returned is not settled. */
  running = false
  /** Whether the callback has thrown, or its promise has rejected. */
  hasThrown = false
  /** The consumer of a wrapped channel that it came to. */
  intake: DeliveryOwner | undefined
  /** What is to be sent to the message's `replyTo` before it is acked. */
  reply: Uint8Array | undefined
  /** What its handler threw last. */
  thrown: unknown
  earlier: this | undefined
  later: this | undefined

  constructor(arrival: Arrival, queue: string, acks: Acks, copies: CopySender) {
    this.arrival = arrival
    this.message = arrival.given
    this.body = arrival.content
    this.tag = arrival.given.fields.deliveryTag
    this.source = queue
    this.acks = acks
    this.#copies = copies
  }

  get hops(): number {
    return this.arrival.hops
  }

  get startsBefore(): number {
    return this.arrival.startsBefore
  }

  get returnsBefore(): number {
    return this.arrival.returnsBefore
  }

  get firstAtMs(): number {
    return this.arrival.firstAtMs
  }

  get signal(): AbortSignal {
    return this.acks.gone
  }

  renew(): void {
    this.message = renewed(this.arrival)
  }

  /** What the client settles: by the tag alone, which handlers may have changed in what they were given. */
  get settling(): AmqpMessage {
    const { arrival, message, tag } = this
    const { deliveryTag } = (message as Partial<AmqpMessage>).fields ?? {}
    return deliveryTag === tag ? message : { ...message, fields: arrival.fields }
  }

  /**
   * A message whose starts no record counts gets a copy at each return: a classic queue does not count, and
   * hands on what a sender wrote in place of the count.
   */
  isWornOut(hasRecord: boolean): boolean {
    const { returns, redelivered } = this.arrival
    if (redelivered && !hasRecord) return true
    if (returns === undefined || returns === 0) return false
    return returns >= RETURNS_MANY || (returns % RETURNS_STEP === 0 && !this.isUncopyable)
  }

  /** A payload alone may be many messages': empty ones are told apart by their routing keys or headers. */
  whole(): Uint8Array {
    return wholeOf(this.arrival)
  }

  /** Asked of few: what is not worn out need not be copied whole. */
  get isUncopyable(): boolean {
    return copyable(this.arrival.properties).unwritable.length > 0
  }

  ack(): Promise<void> | void {
    this.acks.ack(this)
  }

  answer(encoded: Uint8Array): Promise<void> {
    return this.#copies.reply(this, encoded)
  }

  giveBack(): void {
    this.acks.nack(this, true)
  }

  retryLater(retry: Retry): Promise<void> {
    return this.#copies.retry(this, retry)
  }

  deadLetter(letter: DeadLetter): Promise<void> {
    return this.#copies.deadLetter(this, letter)
  }
}

/** What a user's code is told about the message that it was given. */
export type MessageContext = Omit<HandlerContext, 'tx'>

/** A constructor that answers what it is given: fields of its subclasses are made on that. */
const Given = function (given: object) {
  return given
} as unknown as new (given: object) => object

/**
 * A message's delivery, kept as a private field on the message itself. Nobody else sees it and copies have
 * none, as with a WeakMap, whose entries the garbage collector visits one by one: measured on a busy machine,
 * one to two microseconds a message.
 */
class Mark extends Given {
  #delivery: Delivery | undefined

  static set(message: object, delivery: Delivery): void {
    const mark = #delivery in message ? message : (new Mark(message) as Mark)
    mark.#delivery = delivery
  }

  static get(message: object): Delivery | undefined {
    return #delivery in message ? message.#delivery : undefined
  }
}

/** Remembers whose delivery a message is, so that it is settled where it came from. */
export function remember(delivery: Delivery): void {
  Mark.set(delivery.message, delivery)
}

export function deliveryOf(message: unknown): Delivery | undefined {
  return typeof message === 'object' && message !== null ? Mark.get(message) : undefined
}

/**
 * The key, epoch, attempt and signal of a message that a wrapped channel gave; `undefined` for any other
 * message.
 * @example
 * const { key, signal } = contextOf(message)
 */
export function contextOf(message: object): MessageContext | undefined {
  const claim = Mark.get(message)?.claim
  return claim && claimContext(claim, undefined)
}
