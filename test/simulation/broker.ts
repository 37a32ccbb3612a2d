import type { DeadLetter, Timer } from '@oncemq/core/broker'
import type { VirtualClock } from '@oncemq/core/testing'
import { Channel } from './channel.ts'
import type { Dice } from './dice.ts'
import type { Copy, Envelope, SimMessage } from './message.ts'
import type { MessageOracle } from './message-oracle.ts'
import type { Plan } from './plan.ts'

const DUPLICATES_MAX = 3

export interface BrokerWorld {
  readonly clock: VirtualClock
  readonly dice: Dice
  readonly plan: Plan
  readonly messages: MessageOracle
  readonly isFaulty: () => boolean
  readonly isBrokerDown: () => boolean
  readonly isAlarmed: () => boolean
}

/**
 * A queue with the habits of real ones: it deletes what it has returned too often, closes the channel of who
 * holds a message for too long, drops copies that come in a circle, blocks publishers in an alarm, and
 * sometimes delivers a message twice for no reason at all.
 */
export class Broker {
  readonly #world: BrokerWorld
  readonly #ready: Envelope[] = []
  readonly #channels = new Set<Channel>()
  readonly #locks = new Map<string, { channel: Channel; count: number }>()
  readonly #ackTimers = new Map<number, Timer>()
  readonly #duplicates = new Map<number, number>()
  readonly #blocked: (() => void)[] = []
  #sequence = 0
  #tag = 0

  constructor(world: BrokerWorld) {
    this.#world = world
  }

  publish(message: SimMessage): void {
    const { messages, clock } = this.#world
    messages.entered(message)
    const firstAtMs = clock.nowMs()
    const untold = { returns: 0, starts: 0, returnsTold: 0 }
    this.#add({ message, sequence: ++this.#sequence, ...untold, firstAtMs, hasDeath: false })
  }

  /** @throws Error while the broker is down. */
  connect(owner: object, deliver: (tag: number, envelope: Envelope) => void, onClosed: () => void): Channel {
    const { clock, dice, plan, isBrokerDown } = this.#world
    if (isBrokerDown()) throw new Error('simulated: the broker is down')
    const channel = new Channel(clock, dice, owner, plan.window, deliver, onClosed)
    this.#channels.add(channel)
    return channel
  }

  consume(channel: Channel): void {
    const others = Array.from(this.#channels).filter(
      ({ owner, isConsuming }) => owner === channel.owner && isConsuming,
    )
    if (others.length > 0) this.#world.messages.secondConsumer()
    channel.isConsuming = true
    this.#pump()
  }

  cancel(channel: Channel): void {
    channel.isConsuming = false
  }

  ack(channel: Channel, tag: number): void {
    const envelope = this.#settled(channel, tag)
    if (envelope !== undefined) this.#world.messages.acked(envelope.message)
    this.#pump()
  }

  /** Returns a message, which counts. */
  requeue(channel: Channel, tag: number): void {
    const envelope = this.#settled(channel, tag)
    if (envelope !== undefined) this.#returned(envelope, true)
    this.#pump()
  }

  /** A copy that waits and then comes into the queue; `confirm` is called when that is durable. */
  copy(message: SimMessage, copy: Copy, confirm: () => void): void {
    this.#published(() => {
      const { clock, messages } = this.#world
      messages.copied(message)
      const { starts, returnsTold, firstAtMs } = copy
      const told = { returns: 0, starts, returnsTold }
      const envelope = { message, sequence: ++this.#sequence, ...told, firstAtMs, hasDeath: true }
      clock.after(copy.delayMs, () => {
        if (copy.hasDeath && this.#world.plan.dropsCycles) messages.dropped(message, 'as a cycle')
        else this.#add(envelope)
      })
      confirm()
    })
  }

  park(message: SimMessage, letter: DeadLetter, confirm: () => void): void {
    this.#published(() => {
      this.#world.messages.parked(message, letter)
      confirm()
    })
  }

  /** Ends a channel, and returns what is unsettled on it. */
  cut(channel: Channel): void {
    if (!channel.isOpen) return
    channel.isOpen = false
    this.#channels.delete(channel)
    for (const tag of Array.from(channel.unsettled.keys())) {
      const envelope = this.#settled(channel, tag)
      if (envelope !== undefined) this.#returned(envelope, false)
    }
    channel.closed()
    this.#pump()
  }

  cutAll(): void {
    for (const channel of Array.from(this.#channels)) this.cut(channel)
  }

  alarmOver(): void {
    for (const publish of this.#blocked.splice(0)) this.#published(publish)
  }

  #published(apply: () => void): void {
    if (this.#world.isAlarmed()) this.#blocked.push(apply)
    else apply()
  }

  #settled(channel: Channel, tag: number): Envelope | undefined {
    const envelope = channel.unsettled.get(tag)
    if (envelope === undefined) return undefined
    channel.unsettled.delete(tag)
    this.#ackTimers.get(tag)?.cancel()
    this.#ackTimers.delete(tag)
    const { order } = envelope.message
    const lock = order === undefined ? undefined : this.#locks.get(order)
    if (order !== undefined && lock !== undefined && --lock.count === 0) this.#locks.delete(order)
    return envelope
  }

  #returned(envelope: Envelope, byClient: boolean): void {
    const { messages, plan } = this.#world
    envelope.returns += 1
    messages.returned(envelope.message, byClient)
    if (envelope.returns > plan.deliveryLimit) messages.dropped(envelope.message, 'by the delivery limit')
    else this.#insert(envelope)
  }

  #add(envelope: Envelope): void {
    this.#insert(envelope)
    this.#pump()
  }

  #insert(envelope: Envelope): void {
    const position = this.#ready.findLastIndex(({ sequence }) => sequence < envelope.sequence)
    this.#ready.splice(position + 1, 0, envelope)
  }

  #pump(): void {
    for (let position = 0; position < this.#ready.length;) {
      const envelope = this.#ready[position] as Envelope
      const channel = this.#receiverOf(envelope)
      if (channel === undefined) {
        position += 1
        continue
      }
      this.#ready.splice(position, 1)
      this.#deliver(channel, envelope)
    }
  }

  /** Messages of one order go to one consumer, as long as it holds any of them. */
  #receiverOf({ message: { order } }: Envelope): Channel | undefined {
    const able = Array.from(this.#channels).filter(({ isAbleToReceive }) => isAbleToReceive)
    const lock = order === undefined ? undefined : this.#locks.get(order)
    if (lock !== undefined) return able.includes(lock.channel) ? lock.channel : undefined
    return able.length === 0 ? undefined : this.#world.dice.pick(able)
  }

  #deliver(channel: Channel, envelope: Envelope): void {
    const { clock, messages, plan } = this.#world
    const { message } = envelope
    const tag = ++this.#tag
    channel.unsettled.set(tag, envelope)
    if (message.order !== undefined) {
      const lock = this.#locks.get(message.order) ?? { channel, count: 0 }
      lock.count += 1
      this.#locks.set(message.order, lock)
    }
    const timer = clock.after(plan.ackTimeoutMs, () => {
      messages.heldTooLong(message)
      this.cut(channel)
    })
    this.#ackTimers.set(tag, timer)
    channel.deliver(tag, envelope)
    this.#duplicate(message)
  }

  /** Bounded, since a copy may be copied. */
  #duplicate(message: SimMessage): void {
    const { dice, isFaulty, plan } = this.#world
    if (plan.isOrdered || !isFaulty() || !dice.chance(plan.chances.twice)) return
    const count = (this.#duplicates.get(message.number) ?? 0) + 1
    this.#duplicates.set(message.number, count)
    if (count <= DUPLICATES_MAX) this.publish(message)
  }
}
