import type { Deduplicator, ProcessOutcome } from '@oncemq/core'
import { OncemqError } from '@oncemq/core'
import type { DeliveryLoop } from '@oncemq/core/broker'
import type { AmqpMessage } from './amqp.ts'
import { answerOf } from './amqp.ts'
import { readArrival } from './arrival.ts'
import type { DeliveryOwner } from './delivery.ts'
import { Delivery, remember } from './delivery.ts'
import type { WrappedServices } from './wrapped-services.ts'
import { loopOf } from './intake.ts'

/** How many messages that were fetched and may not be given yet are held at a time. */
const HELD_MAX = 100
/** Between two looks at a busy key. */
const LOOK_AGAIN_MS = 1000
const NOT_WAITING = AbortSignal.abort()

type Asked = Parameters<Deduplicator['claim']>[0]

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
    const { acks, channel } = this.#services
    for (;;) {
      if (this.#isClosed) throw closed('get')
      // What could be fetched now would have to be held too. A channel that is closed says so by itself.
      if (acks.open && (this.#loop.isHolding || this.#loop.room <= 0)) return false
      if (acks.open && (await this.#isUncopyable())) return false
      const message = await answerOf<AmqpMessage | false>((told) => channel.get(queue, options, told))
      if (message === false) return false
      const given = await this.#ask(message, queue)
      if (given !== undefined) return given
    }
  }

  /** Nothing is fetched before copies of it could be made, as by `consume`. */
  async #isUncopyable(): Promise<boolean> {
    const { dedup, hopSecret } = this.#services
    if (hopSecret.secret !== undefined || dedup.settings.onStoreDown === 'process') return false
    const down = await hopSecret.load()
    if (down?.code === 'ONCEMQ_CLOSED') throw closed('get')
    return down !== undefined
  }

  again(delivery: Delivery, outcome: ProcessOutcome): void {
    delivery.state = 'held'
    void this.#loop.run(delivery, this.#giveBack, outcome)
  }

  settled(): void {}

  stop(): void {
    this.#loop.stop()
  }

  /** Takes a message to its first answer: what is busy is held, for the next message may be free. */
  async #ask(message: AmqpMessage, queue: string): Promise<AmqpMessage | undefined> {
    const { acks, copies, dedup, hopSecret } = this.#services
    acks.expect(message.fields.deliveryTag)
    // Without it neither can a copy be told from a forgery, nor a further hop be signed.
    const down = hopSecret.secret === undefined ? await hopSecret.load() : undefined
    const { secret } = hopSecret
    const { clock } = dedup.settings
    const delivery = new Delivery(readArrival(message, { queue, clock, secret }), queue, acks, copies)
    acks.arrived(delivery)
    delivery.intake = this
    return new Promise((resolve) => {
      let isAsked = false
      const settled = this.#loop.run(delivery, async (_, asked) => {
        if (isAsked) return this.#lookAgain(delivery, asked)
        isAsked = true
        const outcome = down === undefined ? await this.#claim(delivery, asked) : notGiven(down)
        if (outcome?.status === 'closed') this.#isClosed = true
        resolve(outcome === undefined ? delivery.message : undefined)
        return outcome && soon(outcome)
      })
      void settled.then(() => resolve(undefined))
    })
  }

  /** Asks without waiting for a busy key. `undefined` when the message is given. */
  async #claim(delivery: Delivery, asked: Asked): Promise<ProcessOutcome | undefined> {
    const outcome = await this.#services.dedup.claim({ ...asked, signal: NOT_WAITING })
    if (!('claim' in outcome)) return outcome
    delivery.claim = outcome.claim
    delivery.state = 'given'
    remember(delivery)
    return undefined
  }

  /** Nobody waits for it any more: it is only given back, to be fetched again, when it may be given. */
  async #lookAgain(delivery: Delivery, asked: Asked): Promise<ProcessOutcome | undefined> {
    const outcome = await this.#services.dedup.claim({ ...asked, signal: NOT_WAITING })
    if (!('claim' in outcome)) return soon(outcome)
    await outcome.claim.release('unstarted')
    return this.#giveBack(delivery)
  }

  /** It may be fetched again, by whoever comes first. */
  readonly #giveBack = async (held: { giveBack(): Promise<void> | void }): Promise<undefined> => {
    await held.giveBack()
  }
}

/** Another worker may be done with the key long before its lease ends. */
function soon(outcome: ProcessOutcome): ProcessOutcome {
  if (outcome.status !== 'busy') return outcome
  return { ...outcome, retryAfterMs: Math.min(outcome.retryAfterMs, LOOK_AGAIN_MS) }
}

function notGiven(error: OncemqError): ProcessOutcome {
  return error.code === 'ONCEMQ_CLOSED' ? { status: 'closed', error } : { status: 'store-down', error }
}

export function closed(form: 'consume' | 'get'): OncemqError {
  return new OncemqError(
    'ONCEMQ_CLOSED',
    `${form}: expected an open deduplicator, received a closed one; make a new one`,
  )
}
