import type { ProcessOutcome } from '@oncemq/core'
import type { Attempt, ClaimOutcome, DeliveryLoopOptions } from '@oncemq/core/broker'
import { copySecret, DeliveryLoop } from '@oncemq/core/broker'
import type { AmqpMessage, Consuming, OnMessage } from './amqp.ts'
import { answerOf, isThenable } from './amqp.ts'
import { raise } from './callback-errors.ts'
import type { Delivery } from './delivery.ts'
import { remember } from './delivery.ts'
import { streamRefused } from './queue-kind.ts'
import { Reception } from './reception.ts'
import { holdMsOf } from './settings.ts'
import { StallWatch } from './stall-watch.ts'
import type { WrappedServices } from './wrapped-services.ts'

export interface IntakeOptions {
  readonly queue: string
  readonly callback: OnMessage
  /** The prefetch in force, 0 for none. */
  readonly window: number
  readonly sharedWatch: () => StallWatch | undefined
  /** The options of `consume`, as the user gave them. */
  readonly consume: { readonly consumerTag?: string } | undefined
}

/** A channel without prefetch is sent all that there is. */
const WINDOW_UNBOUNDED = 1_000_000

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
  readonly #watch: StallWatch
  /** The channel's own watch, for a prefetch that its consumers share. */
  readonly #sharedWatch: () => StallWatch | undefined
  readonly #options: IntakeOptions
  #consumerTag: string | undefined
  #isPausing = false
  readonly #attempt: Attempt<AmqpMessage> = (held, delivery) =>
    this.#claim(held as Delivery, this.#services.dedup.claim(delivery))

  constructor(services: WrappedServices, options: IntakeOptions) {
    const { queue, callback, window, sharedWatch } = options
    const { acks, copies, dedup, openChannel } = services
    const { clock } = dedup.settings
    this.#services = services
    this.#options = options
    this.#callback = callback
    this.#sharedWatch = sharedWatch
    this.#watch = new StallWatch({
      clock,
      window,
      onStall: () => this.crowd(),
      onPlace: () => this.relax(),
    })
    this.#loop = loopOf(services, window === 0 ? WINDOW_UNBOUNDED : window, (reason) => {
      if (reason === 'store-down' && !this.#isPausing) void this.#pause()
    })
    this.#reception = new Reception({
      queue,
      dedup,
      acks,
      copies,
      openChannel,
      onDelivery: (delivery) => this.#received(delivery),
      onStream: () => raise(services.channel, streamRefused(), clock),
    })
  }

  /**
   * Begins to consume. Nothing is received before copies of it could be made: a worker that is killed again
   * and again while the store is down would only return it, until the broker deletes it. Whoever asks is
   * answered all the same.
   */
  async start(): Promise<Consuming> {
    const { channel, dedup, hopSecret, stopAll } = this.#services
    const isReady = hopSecret.secret !== undefined || dedup.settings.onStoreDown === 'process'
    const down = isReady ? undefined : await hopSecret.load()
    if (down === undefined) return this.#consume()
    if (down.code === 'ONCEMQ_CLOSED') {
      void stopAll()
      throw down
    }
    const { queue, consume } = this.#options
    await answerOf((told) => channel.checkQueue(queue, told))
    const consumerTag = consume?.consumerTag || `oncemq.${dedup.settings.random.claimId()}`
    this.#consumerTag = consumerTag
    void this.#startLater()
    return { consumerTag }
  }

  async #startLater(): Promise<void> {
    const { acks, dedup, hopSecret, stopAll } = this.#services
    hopSecret.secret = await copySecret(dedup, acks.gone)
    if (!acks.open || this.#loop.isStopped) return
    if (hopSecret.secret === undefined) return stopAll()
    // What the broker refuses closes the channel, which says so by itself.
    await this.#consume().catch(() => undefined)
  }

  async #consume(): Promise<Consuming> {
    const { queue, consume } = this.#options
    const consumerTag = this.#consumerTag
    const options = consumerTag === undefined ? consume : { ...consume, consumerTag }
    const consuming = await answerOf<Consuming>((told) =>
      this.#services.channel.consume(queue, (message) => this.receive(message), options, told),
    )
    this.#consumerTag = consuming.consumerTag
    return consuming
  }

  /**
   * Messages were held for as long as they may be. They go back, and the broker sends none until the store is
   * there again: each return of a longer outage would count, and a copy may need what the store knows.
   */
  async #pause(): Promise<void> {
    const { acks, channel, dedup, stopAll } = this.#services
    this.#isPausing = true
    this.#loop.pause()
    try {
      await answerOf((told) => channel.cancel(this.#consumerTag ?? '', told))
      const isBack = await dedup.available(acks.gone)
      this.#loop.resume()
      this.#isPausing = false
      if (!acks.open || this.#loop.isStopped) return
      if (isBack) await this.#consume()
      else await stopAll()
    } catch {
      // The channel is gone, and says so by itself.
      this.#loop.resume()
    }
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
    this.#watch.stop()
  }

  /** What waits for a key goes to wait at the broker, until `relax`. */
  crowd(): void {
    this.#loop.crowd()
  }

  relax(): void {
    this.#loop.relax()
  }

  /** Takes a message that the user's code has ended to what becomes of it. */
  again(delivery: Delivery, outcome: ProcessOutcome): void {
    delivery.state = 'held'
    delivery.renew()
    void this.#loop.run(delivery, this.#attempt, outcome)
  }

  /** A message of this consumer was settled: there is a place in the window. */
  settled(): void {
    this.#watch.settled()
    this.#sharedWatch()?.settled()
  }

  #received(delivery: Delivery): void {
    delivery.intake = this
    this.#watch.received()
    this.#sharedWatch()?.received()
    void this.#loop.run(delivery, this.#attempt)
  }

  async #claim(delivery: Delivery, asked: Promise<ClaimOutcome>): Promise<ProcessOutcome | undefined> {
    const outcome = await asked
    // Every other outcome is the loop's.
    // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- see default
    switch (outcome.status) {
      case 'granted': {
        delivery.claim = outcome.claim
        const { hopSecret } = this.#services
        const error = hopSecret.secret === undefined ? await hopSecret.load() : undefined
        if (error === undefined) return this.#give(delivery)
        void outcome.claim.release('unstarted')
        return { status: 'store-down', error }
      }
      case 'unprotected':
        delivery.claim = outcome.claim
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
    if (delivery.acks.open && !this.#loop.isStopped) return give(this.#services, delivery, this.#callback)
    void delivery.claim?.release('unstarted')
    delivery.giveBack()
    return undefined
  }
}

/** The loop of consumers that settle by themselves. How many of their messages run is theirs to bound. */
export function loopOf(
  { dedup, settings, stopAll }: Pick<WrappedServices, 'dedup' | 'settings' | 'stopAll'>,
  window: number,
  onHoldOver?: DeliveryLoopOptions<AmqpMessage>['onHoldOver'],
): DeliveryLoop<AmqpMessage> {
  const { key, retry } = settings
  return new DeliveryLoop({
    dedup,
    key,
    policy: { retry, onUnconfirmed: dedup.settings.onUnconfirmed },
    window,
    concurrency: Number.POSITIVE_INFINITY,
    holdMs: holdMsOf(settings),
    onClosed: () => void stopAll(),
    ...(onHoldOver && { onHoldOver }),
  })
}

/** Gives a message to the user's code, whose ack and nack end it. */
function give(services: WrappedServices, delivery: Delivery, callback: OnMessage): undefined {
  delivery.state = 'given'
  delivery.running = true
  remember(delivery)
  let answer: unknown
  try {
    answer = callback(delivery.message)
  } catch (thrown) {
    failed(delivery)
    raise(services.channel, thrown, services.dedup.settings.clock)
    return undefined
  }
  if (!isThenable(answer)) {
    delivery.running = false
    return undefined
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
  return undefined
}

/**
 * The message stays unacked, as it would without us, until it is settled all the same (what failed may have
 * left work behind that acks it) or its channel is gone. Till then its key is its own: a copy that ran
 * meanwhile would do the same work twice.
 */
function failed(delivery: Delivery): void {
  delivery.hasThrown = true
  ended(delivery)
}

/** A handler that has ended on a channel that is gone settles nothing any more. */
function ended(delivery: Delivery): void {
  delivery.running = false
  if (!delivery.acks.open && delivery.state === 'given') void delivery.claim?.release('failed')
}
