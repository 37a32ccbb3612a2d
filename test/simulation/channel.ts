import type { VirtualClock } from '@oncemq/core/testing'
import type { Dice } from './dice.ts'
import type { Envelope } from './message.ts'

const FRAME_MS_MAX = 5

/**
 * One connection of a consumer with the broker, seen from the wire: what is sent in one direction arrives in
 * order and a little later. A stuck one arrives nowhere, until somebody closes it.
 */
export class Channel {
  readonly owner: object
  readonly prefetch: number
  readonly unsettled = new Map<number, Envelope>()
  readonly #clock: VirtualClock
  readonly #dice: Dice
  readonly #onDelivery: (tag: number, envelope: Envelope) => void
  readonly #onClosed: () => void
  isOpen = true
  isConsuming = false
  isStuck = false
  #sentAtMs = 0
  #toldAtMs = 0

  constructor(
    clock: VirtualClock,
    dice: Dice,
    owner: object,
    prefetch: number,
    onDelivery: (tag: number, envelope: Envelope) => void,
    onClosed: () => void,
  ) {
    this.#clock = clock
    this.#dice = dice
    this.owner = owner
    this.prefetch = prefetch
    this.#onDelivery = onDelivery
    this.#onClosed = onClosed
  }

  get isAbleToReceive(): boolean {
    return this.isOpen && this.isConsuming && this.unsettled.size < this.prefetch
  }

  /** From the client to the broker. What was sent on a channel that has gone since is not heard. */
  send(frame: () => void): void {
    this.#sentAtMs = Math.max(this.#sentAtMs, this.#clock.monotonicMs() + this.#dice.integer(0, FRAME_MS_MAX))
    this.#clock.after(this.#sentAtMs - this.#clock.monotonicMs(), () => {
      if (this.isOpen && !this.isStuck) frame()
    })
  }

  /** From the broker to the client. */
  tell(event: () => void): void {
    this.#toldAtMs = Math.max(this.#toldAtMs, this.#clock.monotonicMs() + this.#dice.integer(0, FRAME_MS_MAX))
    this.#clock.after(this.#toldAtMs - this.#clock.monotonicMs(), event)
  }

  deliver(tag: number, envelope: Envelope): void {
    this.tell(() => this.isOpen && this.#onDelivery(tag, envelope))
  }

  closed(): void {
    this.tell(this.#onClosed)
  }
}
