import type { Settlement } from '@oncemq/core/broker'
import type { VirtualClock } from '@oncemq/core/testing'
import type { Dice } from './dice.ts'

/** One handing-out of a message. It is settled once, on the channel that it came by. */
export interface Handed {
  readonly message: number
  readonly key: string
  readonly channel: Channel
}

/**
 * A consumer's channel. When it is cut, what is unsettled on it goes back, and what it still says is not
 * heard.
 */
export interface Channel {
  readonly deliver: (handed: Handed) => void
  readonly unsettled: Set<Handed>
  isOpen: boolean
}

const COPIES_MAX = 3

/** Delivers each message at least once: again after a cut, sometimes twice for no reason at all. */
export class Broker {
  readonly #clock: VirtualClock
  readonly #dice: Dice
  readonly #prefetch: number
  readonly #twice: () => boolean
  readonly #keys = new Map<number, string>()
  readonly #added = new Map<number, number>()
  readonly #ready: number[] = []
  readonly #channels: Channel[] = []
  /** Messages that are neither acked nor dead-lettered, with how many copies of each are about. */
  readonly #copies = new Map<number, number>()

  constructor(clock: VirtualClock, dice: Dice, prefetch: number, twice: () => boolean) {
    this.#clock = clock
    this.#dice = dice
    this.#prefetch = prefetch
    this.#twice = twice
  }

  /** Messages that have not come to their end. */
  get open(): number {
    return this.#copies.size
  }

  publish(message: number, key: string): void {
    this.#keys.set(message, key)
    this.#add(message)
  }

  connect(deliver: (handed: Handed) => void): Channel {
    const channel: Channel = { deliver, unsettled: new Set(), isOpen: true }
    this.#channels.push(channel)
    this.#deliver()
    return channel
  }

  cut(channel: Channel): void {
    if (!channel.isOpen) return
    channel.isOpen = false
    this.#channels.splice(this.#channels.indexOf(channel), 1)
    for (const { message } of channel.unsettled) this.#ready.push(message)
    channel.unsettled.clear()
    this.#deliver()
  }

  /** Answers whether the broker heard it: not on a channel that was cut, and not twice. */
  settle(handed: Handed, settlement: Settlement): boolean {
    const { channel, message } = handed
    if (!channel.isOpen || !channel.unsettled.delete(handed)) return false
    if (settlement.action === 'retry') {
      this.#clock.after(settlement.delayMs, () => {
        this.#ready.push(message)
        this.#deliver()
      })
    } else {
      this.#remove(message)
    }
    this.#deliver()
    return true
  }

  #add(message: number): void {
    this.#copies.set(message, (this.#copies.get(message) ?? 0) + 1)
    this.#ready.push(message)
    this.#deliver()
  }

  /** Bounded, since a copy may be copied. */
  #addAgain(message: number): void {
    const added = (this.#added.get(message) ?? 0) + 1
    this.#added.set(message, added)
    if (added <= COPIES_MAX) this.#add(message)
  }

  #remove(message: number): void {
    const left = (this.#copies.get(message) ?? 1) - 1
    if (left === 0) this.#copies.delete(message)
    else this.#copies.set(message, left)
  }

  #deliver(): void {
    for (;;) {
      const free = this.#channels.filter(({ unsettled }) => unsettled.size < this.#prefetch)
      const message = free.length === 0 ? undefined : this.#ready.shift()
      if (message === undefined) return
      const channel = this.#dice.pick(free)
      const handed = { message, key: this.#keys.get(message) ?? '', channel }
      channel.unsettled.add(handed)
      this.#clock.after(this.#dice.integer(0, 5), () => channel.isOpen && channel.deliver(handed))
      if (this.#twice()) this.#addAgain(message)
    }
  }
}
