import type { Clock, Timer } from '@oncemq/core/broker'
import { pause } from '@oncemq/core/broker'
import type { RawConsumer, RocketmqMessage } from './client.ts'

const ACKS_MAX = 3
const AGAIN_MS = 1000
/** The server's own bound. */
const INVISIBLE_MAX_MS = 43_200_000
/** The server's code for a receipt handle whose invisible time has ended. */
const HANDLE_GONE = 40_013

/**
 * One message that the broker hides from other consumers until its invisible time ends. The time is renewed
 * while the message is held. Renewing changes the receipt handle, and an ack with the handle from before does
 * nothing, silently: so what is told to the broker about one message is told one after the other.
 *
 *   received ──keep──▶ renewed at half its time ⟲ ──last──▶ acked, or hidden for a while
 *                             │ ▲ no answer: each second, for as long as it is held
 *                             └─┴──▶ handle gone: delivered again
 */
export class Hold {
  /** The client's own object. It is given to nobody: what a handler does must not reach the broker. */
  readonly view: RocketmqMessage
  readonly #consumer: RawConsumer
  readonly #clock: Clock
  readonly #invisibleMs: number
  #visibleAtMs: number
  #tail: Promise<unknown> = Promise.resolve()
  #timer: Timer | undefined
  #isKept = false
  #isGone = false

  constructor(view: RocketmqMessage, consumer: RawConsumer, clock: Clock, invisibleMs: number) {
    this.view = view
    this.#consumer = consumer
    this.#clock = clock
    this.#invisibleMs = invisibleMs
    this.#visibleAtMs = clock.monotonicMs() + invisibleMs
  }

  /** Whether the broker has said that it delivers the message again: nothing that is told of it counts. */
  get isGone(): boolean {
    return this.#isGone
  }

  /** For how long the message is still hidden, as far as the broker has answered, in milliseconds. */
  get hiddenMs(): number {
    return Math.max(0, this.#visibleAtMs - this.#clock.monotonicMs())
  }

  /** Keeps the message hidden until `stop` or `last`. */
  keep(): void {
    if (this.#isGone) return
    this.#isKept = true
    this.#schedule()
  }

  /** Renews it no more. */
  stop(): void {
    this.#isKept = false
    this.#timer?.cancel()
  }

  /** Tells the broker how this ends, after what is on its way. @throws what `tell` throws. */
  async last(tell: () => Promise<void>): Promise<void> {
    this.stop()
    await this.#inTurn(tell)
  }

  /** Acks, and again if the broker does not answer. Never rejects: what is not acked comes again as done. */
  async ack(): Promise<void> {
    for (let count = 1; ; count += 1) {
      try {
        await this.last(() => this.#consumer.ack(this.view))
        return
      } catch (error) {
        if (isHandleGone(error) || count === ACKS_MAX) return
        await pause(this.#clock, AGAIN_MS)
      }
    }
  }

  /** Lets the message be delivered again after a while. @throws what the client throws. */
  async hideFor(delayMs: number): Promise<void> {
    const invisibleMs = Math.min(Math.max(1, Math.ceil(delayMs)), INVISIBLE_MAX_MS)
    await this.last(() => this.#consumer.changeInvisibleDuration(this.view, invisibleMs))
  }

  #schedule(): void {
    this.#timer?.cancel()
    const leftMs = this.#visibleAtMs - this.#clock.monotonicMs()
    const waitMs = Math.max(leftMs - this.#invisibleMs / 2, AGAIN_MS)
    this.#timer = this.#clock.after(waitMs, () => void this.#renew(), 'background')
  }

  async #renew(): Promise<void> {
    try {
      await this.#inTurn(async () => {
        if (!this.#isKept) return
        const sentAtMs = this.#clock.monotonicMs()
        await this.#consumer.changeInvisibleDuration(this.view, this.#invisibleMs)
        this.#visibleAtMs = sentAtMs + this.#invisibleMs
      })
    } catch (error) {
      // A broker that does not answer may know the handle still when it is back.
      if (isHandleGone(error)) {
        this.#isGone = true
        this.stop()
      }
    }
    if (this.#isKept) this.#schedule()
  }

  #inTurn<Value>(call: () => Promise<Value>): Promise<Value> {
    const turn = this.#tail.then(call)
    this.#tail = turn.catch(() => undefined)
    return turn
  }
}

function isHandleGone(error: unknown): boolean {
  return error instanceof Error && (error as { code?: unknown }).code === HANDLE_GONE
}
