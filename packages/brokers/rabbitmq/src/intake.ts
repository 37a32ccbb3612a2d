import type { Deduplicator, ProcessOutcome } from '@oncemq/core'
import type { Attempt, ClaimOutcome, Timer } from '@oncemq/core/broker'
import { DeliveryLoop } from '@oncemq/core/broker'
import type { ChannelAcks } from './acks.ts'
import type { AmqpMessage, OnMessage, RawChannel } from './amqp.ts'
import { isThenable } from './amqp.ts'
import { raise } from './callback-errors.ts'
import type { CopySender, Delivery } from './delivery.ts'
import { remember } from './delivery.ts'
import { streamRefused } from './queue-kind.ts'
import { Reception } from './reception.ts'
import type { DedupChannelSettings } from './settings.ts'

/** What the consumers of one wrapped channel share. */
export interface WrappedServices {
  readonly channel: RawChannel
  readonly acks: ChannelAcks
  readonly copies: CopySender
  readonly dedup: Deduplicator<never>
  readonly settings: DedupChannelSettings
  readonly openChannel: () => Promise<RawChannel>
  /** The deduplicator is closed: no consumer of this channel is sent anything any more. */
  readonly stopAll: () => Promise<void>
}

/** A channel without prefetch is sent all that there is. */
const WINDOW_UNBOUNDED = 1_000_000
/** Half of the broker's time limit for acks. */
const HOLD_PART = 0.5
/**
 * A consumer may wait for further messages before it acks the first one. What waits for a key takes places of
 * the prefetch window, so when nothing was settled for so long, it goes to wait at the broker.
 */
const STALL_MS = 500

/**
 * One consumer of a wrapped channel, from the broker to the user's callback and back:
 *
 *   message ──▶ held, its key is asked for ──granted──▶ given to the callback ──ack, nack──▶ settled
 *                     │ duplicate: acked   │ busy: waits   │ store down: held until it is back
 */
export class Intake {
  readonly #services: WrappedServices
  readonly #callback: OnMessage
  readonly #loop: DeliveryLoop<AmqpMessage>
  readonly #reception: Reception
  readonly #window: number
  readonly #attempt: Attempt<AmqpMessage> = (held, delivery) =>
    this.#claim(held as Delivery, this.#services.dedup.claim(delivery))
  #unsettled = 0
  #stall: Timer | undefined

  /** `window`: the prefetch in force, 0 for none. */
  constructor(services: WrappedServices, queue: string, callback: OnMessage, window: number) {
    const { acks, copies, dedup, openChannel } = services
    this.#services = services
    this.#callback = callback
    this.#window = window
    this.#loop = loopOf(services, window === 0 ? WINDOW_UNBOUNDED : window)
    this.#reception = new Reception({
      queue,
      dedup,
      acks,
      copies,
      openChannel,
      onDelivery: (delivery) => this.#received(delivery),
      onStream: () => raise(services.channel, streamRefused(), dedup.settings.clock),
    })
  }

  /** What amqplib calls. `null` means that the server has cancelled the consumer. */
  receive(message: AmqpMessage | null): unknown {
    if (message !== null) return this.#reception.receive(message)
    this.stop()
    return this.#callback(null)
  }

  /** Gives no further message to the callback; those that are held go back to their queue. */
  stop(): void {
    this.#loop.stop()
    this.#stall?.cancel()
  }

  /** Takes a message that the user's code has ended to what becomes of it. */
  again(delivery: Delivery, outcome: ProcessOutcome): void {
    delivery.state = 'held'
    delivery.message = renewed(delivery)
    void this.#loop.run(delivery, this.#attempt, outcome)
  }

  /** A message of this consumer was settled: there is a place in the window. */
  settled(): void {
    this.#unsettled -= 1
    this.#stall?.cancel()
    this.#stall = undefined
    this.#loop.relax()
  }

  #received(delivery: Delivery): void {
    delivery.intake = this
    this.#unsettled += 1
    if (this.#unsettled === this.#window && this.#window > 0) this.#watchForStall()
    void this.#loop.run(delivery, this.#attempt)
  }

  #watchForStall(): void {
    const { clock } = this.#services.dedup.settings
    this.#stall ??= clock.after(STALL_MS, () => this.#loop.crowd(), 'background')
  }

  async #claim(delivery: Delivery, asked: Promise<ClaimOutcome>): Promise<ProcessOutcome | undefined> {
    const outcome = await asked
    switch (outcome.status) {
      case 'granted':
        delivery.claim = outcome.claim
        delivery.attempt = outcome.claim.attempt
        return this.#give(delivery)
      case 'unprotected':
        delivery.attempt = outcome.attempt
        return this.#give(delivery)
      case 'closed':
        // Else what is given back would be delivered to this consumer at once.
        await this.#services.stopAll()
        return outcome
      default:
        return outcome
    }
  }

  #give(delivery: Delivery): undefined {
    // A channel that has gone meanwhile delivers it again, elsewhere.
    if (delivery.acks.open && !this.#loop.isStopped)
      return void give(this.#services, delivery, this.#callback)
    void delivery.claim?.release('unstarted')
    delivery.giveBack()
    return undefined
  }
}

/** The loop of consumers that settle by themselves. How many of their messages run is theirs to bound. */
export function loopOf(
  { dedup, settings, stopAll }: Pick<WrappedServices, 'dedup' | 'settings' | 'stopAll'>,
  window: number,
): DeliveryLoop<AmqpMessage> {
  const { ackTimeoutMs, key, retry } = settings
  return new DeliveryLoop({
    dedup,
    key,
    policy: { retry, onUnconfirmed: dedup.settings.onUnconfirmed },
    window,
    concurrency: Number.POSITIVE_INFINITY,
    holdMs: Math.ceil(ackTimeoutMs * HOLD_PART),
    onClosed: () => void stopAll(),
  })
}

/** Gives a message to the user's code, whose ack and nack end it. */
function give(services: WrappedServices, delivery: Delivery, callback: OnMessage): void {
  delivery.state = 'given'
  delivery.running = true
  remember(delivery)
  let answer: unknown
  try {
    answer = callback(delivery.message)
  } catch (thrown) {
    failed(delivery)
    return raise(services.channel, thrown, services.dedup.settings.clock)
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

/** As the broker would deliver it again: whatever the handler did to the one that it had. */
function renewed({ arrival, message }: Delivery): AmqpMessage {
  const { content, properties } = arrival
  const { headers } = properties
  return {
    content: Buffer.from(content),
    fields: { ...message.fields, redelivered: true },
    properties: headers === undefined ? { ...properties } : { ...properties, headers: { ...headers } },
  }
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
