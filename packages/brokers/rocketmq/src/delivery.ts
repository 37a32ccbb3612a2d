import type { Claim, Clock, Timer } from '@oncemq/core/broker'
import type { HandlerContext } from '@oncemq/core'
import { contextOf as claimContext } from '@oncemq/core/broker'
import type { RawConsumer, RocketmqMessage } from './client.ts'

const ACKS_MAX = 3
const AGAIN_MS = 1000

/**
 * One message that the broker hides from other consumers until its invisible time ends. The time is renewed
 * while the message is held. Renewing changes the receipt handle, and an ack with the handle from before does
 * nothing, silently: so what is told to the broker about one message is told one after the other.
 *
 *   received ──▶ held ⟲ renewed at half its time ──▶ acked, deferred, or its time ends
 */
export class Delivery {
  readonly message: RocketmqMessage
  /** None for a message that runs without protection. */
  claim: Claim | undefined
  readonly #consumer: RawConsumer
  readonly #clock: Clock
  #tail: Promise<unknown> = Promise.resolve()
  #timer: Timer | undefined
  #isHeld = false

  constructor(message: RocketmqMessage, consumer: RawConsumer, clock: Clock) {
    this.message = message
    this.#consumer = consumer
    this.#clock = clock
  }

  /** Keeps the message hidden, in steps of `invisibleMs`, for `holdMs`; then `onEnd` is called. */
  hold(invisibleMs: number, holdMs = Number.POSITIVE_INFINITY, onEnd: () => void = () => undefined): void {
    this.#isHeld = true
    const nowMs = this.#clock.monotonicMs()
    this.#renewAt({ invisibleMs, stopAtMs: nowMs + holdMs, visibleAtMs: nowMs + invisibleMs, onEnd })
  }

  /** Renews it no more. */
  drop(): void {
    this.#isHeld = false
    this.#timer?.cancel()
  }

  /** Tells the broker how this ends, after what is on its way. @throws what `tell` throws. */
  async last(tell: () => Promise<void>): Promise<void> {
    this.drop()
    await this.#inTurn(tell)
  }

  /** Acks, and again if the broker does not answer. Never rejects: what is not acked comes again as done. */
  async ack(): Promise<boolean> {
    for (let count = 1; ; count += 1) {
      try {
        await this.last(() => this.#consumer.ack(this.message))
        return true
      } catch (error) {
        if (isHandleGone(error) || count === ACKS_MAX) return false
        await pause(this.#clock, AGAIN_MS)
      }
    }
  }

  /** Lets the message come again after a while. Never rejects: else it comes when its time ends. */
  async defer(delayMs: number): Promise<void> {
    const invisibleMs = Math.max(1, Math.ceil(delayMs))
    await this.last(() => this.#consumer.changeInvisibleDuration(this.message, invisibleMs)).catch(
      () => undefined,
    )
  }

  /** Calls `onEnd` when a time that the user set has ended. */
  endAfter(invisibleMs: number, onEnd: () => void): void {
    this.#timer = this.#clock.after(invisibleMs, onEnd, 'background')
  }

  #renewAt(holding: Holding): void {
    const { invisibleMs, stopAtMs, visibleAtMs, onEnd } = holding
    const nowMs = this.#clock.monotonicMs()
    const leftMs = visibleAtMs - nowMs
    if (nowMs >= stopAtMs || leftMs <= 0) return this.endAfter(Math.max(0, leftMs), onEnd)
    const waitMs = Math.min(Math.max(leftMs - invisibleMs / 2, Math.min(AGAIN_MS, leftMs)), stopAtMs - nowMs)
    this.#timer = this.#clock.after(waitMs, () => void this.#renew(holding), 'background')
  }

  async #renew(holding: Holding): Promise<void> {
    const { invisibleMs, stopAtMs } = holding
    if (this.#clock.monotonicMs() >= stopAtMs) return this.#renewAt(holding)
    let { visibleAtMs } = holding
    try {
      await this.#inTurn(async () => {
        if (!this.#isHeld) return
        const sentAtMs = this.#clock.monotonicMs()
        await this.#consumer.changeInvisibleDuration(this.message, invisibleMs)
        visibleAtMs = sentAtMs + invisibleMs
      })
    } catch (error) {
      // It comes again by now, and finds the key busy for as long as it is held here.
      if (isHandleGone(error)) return this.#endAt(stopAtMs, holding.onEnd)
    }
    if (this.#isHeld) this.#renewAt({ ...holding, visibleAtMs })
  }

  #endAt(stopAtMs: number, onEnd: () => void): void {
    const leftMs = stopAtMs - this.#clock.monotonicMs()
    if (this.#isHeld && Number.isFinite(leftMs)) this.endAfter(Math.max(0, leftMs), onEnd)
  }

  #inTurn<Value>(call: () => Promise<Value>): Promise<Value> {
    const turn = this.#tail.then(call)
    this.#tail = turn.catch(() => undefined)
    return turn
  }
}

interface Holding {
  readonly invisibleMs: number
  readonly stopAtMs: number
  readonly visibleAtMs: number
  readonly onEnd: () => void
}

/** The broker knows the receipt handle no more: the message's invisible time has ended. */
function isHandleGone(error: unknown): boolean {
  return error instanceof Error && error.name === 'BadRequestException'
}

function pause(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delayMs, resolve)
  })
}

/** What a user's code is told about the message that it was given. */
export type MessageContext = Omit<HandlerContext, 'tx'>

const deliveries = new WeakMap<object, Delivery>()

/** Remembers the delivery of a message that the user was given. */
export function remember(delivery: Delivery): void {
  deliveries.set(delivery.message, delivery)
}

export function deliveryOf(message: unknown): Delivery | undefined {
  return typeof message === 'object' && message !== null ? deliveries.get(message) : undefined
}

/**
 * The key, epoch, attempt and signal of a message that a wrapped consumer gave; `undefined` for any other
 * message.
 * @example
 * const { key, signal } = contextOf(message)
 */
export function contextOf(message: object): MessageContext | undefined {
  const delivery = deliveries.get(message)
  return delivery && claimContext(delivery.claim, undefined)
}
