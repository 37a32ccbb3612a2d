import type { Claim, Linked } from '@oncemq/core/broker'
import type { HandlerContext } from '@oncemq/core'
import { contextOf as claimContext } from '@oncemq/core/broker'
import type { AmqpMessage } from './amqp.ts'

/**
 * Where a delivery stands. `held`: its key is asked for. `given`: the user has it. `ending`: its end is being
 * recorded. `acking`: the ack leaves at the end of this turn. `settled`: the broker was told, or cannot be
 * told any more.
 */
export type DeliveryState = 'held' | 'given' | 'ending' | 'acking' | 'settled'

/** Where a delivery is settled: the raw channel that delivered it. */
export interface Acks {
  readonly open: boolean
  ack(delivery: Delivery): void
  nack(delivery: Delivery, requeue: boolean | undefined, verb?: 'nack' | 'reject'): void
  given(upToTag?: number): Delivery[]
}

/** One message, pinned to the raw channel that delivered it: a tag means nothing on any other. */
export class Delivery implements Linked {
  readonly message: AmqpMessage
  readonly tag: number
  readonly queue: string
  readonly acks: Acks
  state: DeliveryState = 'held'
  /** None for a message that runs without protection. */
  claim: Claim | undefined
  /** Whether the user's callback has not returned, or the promise that it returned is not settled. */
  running = false
  heldSinceMs: number | undefined
  /** What is to be sent to the message's `replyTo` before it is acked. */
  reply: Uint8Array | undefined
  earlier: this | undefined
  later: this | undefined

  constructor(message: AmqpMessage, queue: string, acks: Acks) {
    this.message = message
    this.tag = message.fields.deliveryTag
    this.queue = queue
    this.acks = acks
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
  const delivery = Mark.get(message)
  return delivery && claimContext(delivery.claim, undefined)
}
