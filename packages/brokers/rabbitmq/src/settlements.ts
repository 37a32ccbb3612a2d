import type { ProcessOutcome } from '@oncemq/core'
import { OncemqError } from '@oncemq/core'
import type { Claim, Completion } from '@oncemq/core/broker'
import { Condition } from '@oncemq/core/broker'
import type { ChannelAcks } from './acks.ts'
import type { AmqpMessage } from './amqp.ts'
import { answerOf } from './amqp.ts'
import type { Delivery } from './delivery.ts'
import { deliveryOf } from './delivery.ts'
import type { WrappedServices } from './wrapped-services.ts'

/**
 * How the user's code ends its messages on a wrapped channel: each key is recorded or freed first, and the
 * broker is told then. All verbs answer at once, as amqplib's do.
 */
export class Settlements {
  readonly #services: WrappedServices
  readonly #told: (isOurs: boolean, passOn: () => unknown) => unknown
  readonly #idle = new Condition()
  #ending = 0

  /** `told` answers for a verb: what is not ours passes on to the channel. */
  constructor(services: WrappedServices, told: (isOurs: boolean, passOn: () => unknown) => unknown) {
    this.#services = services
    this.#told = told
  }

  ack(message: AmqpMessage, allUpTo?: boolean): unknown {
    const delivery = this.#find(message)
    for (const each of this.#meant(delivery, message, allUpTo)) this.#succeeded(each)
    return this.#told(delivery !== undefined || isAll(allUpTo, message), () =>
      this.#services.channel.ack(message, allUpTo),
    )
  }

  ackAll(): unknown {
    for (const each of this.#acks.given()) this.#succeeded(each)
    return this.#told(true, () => this.#services.channel.ackAll())
  }

  nack(message: AmqpMessage, allUpTo?: boolean, requeue?: boolean): unknown {
    const delivery = this.#find(message)
    for (const each of this.#meant(delivery, message, allUpTo)) this.#failed(each, requeue, 'nack')
    return this.#told(delivery !== undefined || isAll(allUpTo, message), () =>
      this.#services.channel.nack(message, allUpTo, requeue),
    )
  }

  nackAll(requeue?: boolean): unknown {
    for (const each of this.#acks.given()) this.#failed(each, requeue, 'nack')
    return this.#told(true, () => this.#services.channel.nackAll(requeue))
  }

  reject(message: AmqpMessage, requeue?: boolean): unknown {
    const delivery = this.#find(message)
    for (const each of this.#meant(delivery, message, false)) this.#failed(each, requeue, 'reject')
    return this.#told(delivery !== undefined, () => this.#services.channel.reject(message, requeue))
  }

  /**
   * One by one: the broker's own recover gives back what is held or on its way too, and would leave us with
   * tags that nobody knows any more.
   */
  async recover(): Promise<unknown> {
    if (!this.#acks.open) return answerOf((told) => this.#services.channel.recover(told))
    for (const each of this.#acks.given()) this.#failed(each, true, 'nack')
    await this.done()
    return {}
  }

  get #acks(): ChannelAcks {
    return this.#services.acks
  }

  /**
   * The delivery of a message, also when it came by another channel, or when a copy of the message is
   * settled. One that was given again since is nobody's any more for whoever had it before.
   */
  #find(message: AmqpMessage): Delivery | 'foreign' | undefined {
    const delivery = deliveryOf(message)
    if (delivery === undefined) return this.#acks.find(message)
    return delivery.message === message ? delivery : 'foreign'
  }

  #meant(delivery: Delivery | 'foreign' | undefined, message: AmqpMessage, allUpTo: unknown): Delivery[] {
    if (delivery === 'foreign') {
      this.#warnOfSecond()
      return []
    }
    if (!isAll(allUpTo, message)) return delivery === undefined ? [] : [delivery]
    const upToTag = delivery?.tag ?? message.fields.deliveryTag
    // By the protocol, tag 0 means all.
    return (delivery?.acks ?? this.#acks).given(upToTag === 0 ? undefined : upToTag)
  }

  #succeeded(delivery: Delivery): void {
    const claim = this.#begin(delivery)
    if (claim === undefined) return
    this.#ending += 1
    void claim.complete().then((completion) => {
      if (completion === 'completed') delivery.acks.ack(delivery)
      else this.#again(delivery, outcomeOf(completion))
      this.#ended()
    })
  }

  /** To requeue is to wait and to try again, with or without us; without requeue the broker decides. */
  #failed(delivery: Delivery, requeue: boolean | undefined, verb: 'nack' | 'reject'): void {
    const claim = this.#begin(delivery)
    if (claim === undefined) return
    const isLast = claim.attempt >= this.#services.dedup.settings.attemptsMax
    const reason = isLast ? 'spent' : 'failed'
    // As amqplib takes the flag: what is left out means to requeue.
    const isLeftToBroker = requeue !== undefined && !requeue
    this.#ending += 1
    void claim.release(isLeftToBroker ? 'permanent' : reason).then(() => {
      if (isLeftToBroker) delivery.acks.nack(delivery, requeue, verb)
      else this.#again(delivery, gaveBack(claim, isLast))
      this.#ended()
    })
  }

  #again(delivery: Delivery, outcome: ProcessOutcome): void {
    if (delivery.acks.open) delivery.intake?.again(delivery, outcome)
  }

  /** A message is settled once. To do it twice would make the broker close the channel. */
  #begin(delivery: Delivery): Claim | undefined {
    if (delivery.state === 'given') {
      delivery.state = 'ending'
      return delivery.claim
    }
    this.#warnOfSecond()
    return undefined
  }

  #warnOfSecond(): void {
    this.#services.dedup.warn(
      'a message was settled that was settled before, was given again since, or came by another channel; ' +
        'that is ignored. Settle the message that the callback was given, once, not one made from its tag',
    )
  }

  #ended(): void {
    this.#ending -= 1
    if (this.#ending === 0) this.#idle.notifyAll()
  }

  /** Resolves when what was asked for has been recorded, or after a lease. */
  async done(): Promise<void> {
    const { clock, leaseMs } = this.#services.dedup.settings
    if (this.#ending > 0) await this.#idle.wait(clock, leaseMs)
  }
}

/** Whether a verb means the messages before it too. What is no message is for amqplib to refuse. */
function isAll(allUpTo: unknown, message: AmqpMessage): boolean {
  return Boolean(allUpTo) && (message as Partial<AmqpMessage> | undefined)?.fields !== undefined
}

function outcomeOf(completion: Exclude<Completion, 'completed'>): ProcessOutcome {
  switch (completion) {
    case 'lost':
      return { status: 'lost' }
    case 'unconfirmed':
      return { status: 'unconfirmed', result: undefined }
    case 'closed':
      return {
        status: 'closed',
        error: new OncemqError('ONCEMQ_CLOSED', 'closed before the store had answered'),
      }
  }
}

/** The message was given back by the user's code, which says no more than that. */
function gaveBack(claim: Claim, isLast: boolean): ProcessOutcome {
  const error = new Error('the consumer gave the message back')
  const { attempt } = claim
  if (!isLast) return { status: 'failed', final: false, error, attempt }
  const forgive = (): Promise<boolean> => claim.forgive()
  return { status: 'failed', final: true, error, attempt, reason: 'attempts', forgive }
}
