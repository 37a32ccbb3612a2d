import type { ClaimOutcome } from '@oncemq/core/broker'
import type { Deduplicator } from '@oncemq/core'
import { settlementOf } from '@oncemq/core/broker'
import type { AmqpMessage, OnMessage, RawChannel } from './amqp.ts'
import { isThenable } from './amqp.ts'
import { raise } from './callback-errors.ts'
import { Delivery, remember } from './delivery.ts'
import { readKey } from './message.ts'
import type { DedupChannelSettings } from './settings.ts'
import { streamRefusal } from './streams.ts'
import type { Settler } from './settler.ts'
import { settlementPolicy } from './settler.ts'

/** What the consumers of one wrapped channel share. */
export interface Home {
  readonly channel: RawChannel
  readonly settler: Settler
  readonly dedup: Deduplicator
  readonly settings: DedupChannelSettings
}

/**
 * Longer than this no message is kept unacked for a store that is down: brokers close channels after half an
 * hour.
 */
const HOLD_MAX_MS = 600_000

/**
 * One consumer of a wrapped channel, from the broker to the user's callback:
 *
 *   message ──▶ held, its key is asked for ──granted──▶ given to the callback
 *                     │ duplicate: acked   │ busy: later, by the broker   │ store down: held until it is back
 */
export class Intake {
  readonly #home: Home
  readonly #queue: string
  readonly #callback: OnMessage
  readonly #stopping = new AbortController()

  constructor(home: Home, queue: string, callback: OnMessage) {
    this.#home = home
    this.#queue = queue
    this.#callback = callback
  }

  /**
   * What amqplib calls. `null` means that the server has cancelled the consumer.
   * @throws OncemqError for a message of a stream: amqplib then closes the channel, whose event `error`
   * carries it.
   */
  receive(message: AmqpMessage | null): unknown {
    if (message === null) {
      this.stop()
      return this.#callback(null)
    }
    const refusal = streamRefusal(message)
    if (refusal !== undefined) throw refusal
    const { acks } = this.#home.settler
    const delivery = new Delivery(message, this.#queue, acks)
    acks.arrived(delivery)
    this.#ask(delivery, readKey(this.#home.settings.key, message))
    return undefined
  }

  /** Gives no further message to the callback; those that are held go back to their queue. */
  stop(): void {
    this.#stopping.abort()
  }

  #ask(delivery: Delivery, key: string | undefined): void {
    const { signal } = this.#stopping
    const asked = this.#home.dedup.claim({ key, body: delivery.message.content, signal })
    void asked.then((outcome) => this.#answered(delivery, key, outcome))
  }

  #answered(delivery: Delivery, key: string | undefined, outcome: ClaimOutcome): void {
    const { settler, dedup } = this.#home
    if (outcome.status === 'granted') delivery.claim = outcome.claim
    const runs = outcome.status === 'granted' || outcome.status === 'unprotected'
    if (!delivery.acks.open || (this.#stopping.signal.aborted && outcome.status !== 'duplicate')) {
      return this.#giveBack(delivery)
    }
    if (runs) return give(this.#home, delivery, this.#callback)
    if (outcome.status === 'unavailable') return this.#askLater(delivery, key, outcome)
    void settler.settle(delivery, settlementOf(outcome, settlementPolicy(dedup)))
  }

  #giveBack(delivery: Delivery): void {
    void delivery.claim?.release('unstarted')
    delivery.acks.nack(delivery, true)
  }

  /**
   * Kept unacked, the message takes a place of the prefetch window, so that the consumer comes to rest by
   * itself.
   */
  #askLater(
    delivery: Delivery,
    key: string | undefined,
    outcome: ClaimOutcome & { status: 'unavailable' },
  ): void {
    if (outcome.error.code === 'ONCEMQ_CLOSED') return
    const { dedup } = this.#home
    const { clock } = dedup.settings
    delivery.heldSinceMs ??= clock.monotonicMs()
    const leftMs = delivery.heldSinceMs + HOLD_MAX_MS - clock.monotonicMs()
    if (leftMs <= 0) return this.#giveBack(delivery)
    clock.after(
      outcome.retryAfterMs,
      () => {
        const bound = new AbortController()
        const timer = clock.after(leftMs, () => bound.abort(), 'background')
        void dedup.available(AbortSignal.any([bound.signal, this.#stopping.signal])).then(() => {
          timer.cancel()
          this.#ask(delivery, key)
        })
      },
      'background',
    )
  }
}

/** Gives a message to the user's code, whose ack and nack end it. */
export function give(home: Home, delivery: Delivery, callback: OnMessage): void {
  delivery.state = 'given'
  delivery.running = true
  remember(delivery)
  let answer: unknown
  try {
    answer = callback(delivery.message)
  } catch (thrown) {
    failed(delivery)
    return raise(home.channel, thrown, home.dedup.settings.clock)
  }
  if (!isThenable(answer)) {
    delivery.running = false
    return
  }
  // The derived promise rejects as the callback's own would have, unobserved: whoever listens for that still
  // hears it.
  void answer.then(
    () => ended(delivery),
    (error: unknown) => {
      failed(delivery)
      throw error
    },
  )
}

/** The message stays unacked, as it would without us; its key is free, so that the redelivery runs. */
function failed(delivery: Delivery): void {
  delivery.running = false
  if (delivery.state === 'given') void delivery.claim?.release('failed')
}

/** A handler that has ended on a channel that is gone settles nothing any more. */
function ended(delivery: Delivery): void {
  delivery.running = false
  if (!delivery.acks.open && delivery.state === 'given') void delivery.claim?.release('failed')
}
