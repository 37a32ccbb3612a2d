import type { ProcessOutcome } from '@oncemq/core'
import { OncemqError } from '@oncemq/core'
import type { DeliveryLoop } from '@oncemq/core/broker'
import type { AmqpMessage } from './amqp.ts'
import { answerOf } from './amqp.ts'
import { claimsProvenance, readArrival } from './arrival.ts'
import type { DeliveryOwner } from './delivery.ts'
import { Delivery, remember } from './delivery.ts'
import type { WrappedServices } from './intake.ts'
import { loopOf } from './intake.ts'

/** How many messages that were fetched and may not be given yet are held at a time. */
const HELD_MAX = 100
const NOT_WAITING = AbortSignal.abort()

/**
 * `get` of a wrapped channel: fetches messages until one is granted. What is not is held as by any consumer,
 * and given back when it may be fetched again: so whoever calls in a loop gets no message twice meanwhile,
 * and the broker counts no returns.
 */
export class Getter implements DeliveryOwner {
  readonly #services: WrappedServices
  readonly #loop: DeliveryLoop<AmqpMessage>
  #isClosed = false

  constructor(services: WrappedServices) {
    this.#services = services
    this.#loop = loopOf(services, HELD_MAX)
  }

  /** @throws OncemqError `ONCEMQ_CLOSED` once the deduplicator is known to be closed. */
  async get(queue: string, options: object | undefined): Promise<AmqpMessage | false> {
    const { channel } = this.#services
    for (;;) {
      if (this.#isClosed) throw closed()
      // What could be fetched now would have to be held too.
      if (this.#loop.isHolding || this.#loop.room <= 0) return false
      const message = await answerOf<AmqpMessage | false>((told) => channel.get(queue, options, told))
      if (message === false) return false
      const given = await this.#ask(message, queue)
      if (given !== undefined) return given
    }
  }

  again(delivery: Delivery, outcome: ProcessOutcome): void {
    delivery.state = 'held'
    void this.#loop.run(delivery, this.#giveBack, outcome)
  }

  settled(): void {}

  stop(): void {
    this.#loop.stop()
  }

  /** Asks without waiting for a busy key: the next message may be free. */
  async #ask(message: AmqpMessage, queue: string): Promise<AmqpMessage | undefined> {
    const { acks, copies, dedup } = this.#services
    const secret = claimsProvenance(message) ? await dedup.secret().catch(() => undefined) : undefined
    const { clock } = dedup.settings
    const delivery = new Delivery(readArrival(message, { queue, clock, secret }), queue, acks, copies)
    acks.arrived(delivery)
    delivery.intake = this
    let isGiven = false
    const settled = this.#loop.run(delivery, async (_, asked) => {
      if (isGiven) return this.#giveBack(delivery)
      isGiven = true
      const outcome = await dedup.claim({ ...asked, signal: NOT_WAITING })
      if (outcome.status === 'closed') this.#isClosed = true
      if (outcome.status !== 'granted' && outcome.status !== 'unprotected') return outcome
      delivery.claim = outcome.status === 'granted' ? outcome.claim : undefined
      delivery.attempt = outcome.status === 'granted' ? outcome.claim.attempt : outcome.attempt
      delivery.state = 'given'
      remember(delivery)
      return undefined
    })
    await Promise.race([settled, this.#loop.changed()])
    return delivery.state === 'given' ? delivery.message : undefined
  }

  /** It may be fetched again, by whoever comes first. */
  readonly #giveBack = async (held: { giveBack(): Promise<void> | void }): Promise<undefined> => {
    await held.giveBack()
  }
}

function closed(): OncemqError {
  return new OncemqError(
    'ONCEMQ_CLOSED',
    'get: expected an open deduplicator, received a closed one; make a new one',
  )
}
