import type { Completion, Settlement } from '@oncemq/core/broker'
import type { Deduplicator } from '@oncemq/core'
import { Condition, settlementOf } from '@oncemq/core/broker'
import type { ChannelAcks } from './acks.ts'
import type { AmqpMessage, Consuming, Done, OnMessage, RawChannel } from './amqp.ts'
import { answerOf } from './amqp.ts'
import { confirmChannelBeside } from './confirm-channel.ts'
import { Delivery, deliveryOf, remember } from './delivery.ts'
import type { Home } from './intake.ts'
import { Intake } from './intake.ts'
import { readKey } from './message.ts'
import type { DedupChannelSettings } from './settings.ts'
import { refuseNoAck } from './settings.ts'
import { refuseStreamArguments } from './streams.ts'
import { settlementPolicy, Settler } from './settler.ts'

/** The methods of a channel that mean something else once it is wrapped. */
export class WrappedChannel {
  /** What a method answers whose original answers its channel. */
  self: unknown
  readonly #raw: RawChannel
  readonly #home: Home
  readonly #intakes = new Map<string, Intake>()
  readonly #idle = new Condition()
  /** The callback API's methods answer their channel. */
  readonly #answersItself: boolean
  #isBounded = false
  #ending = 0

  constructor(raw: RawChannel, dedup: Deduplicator, settings: DedupChannelSettings) {
    this.#raw = raw
    const { clock } = dedup.settings
    const open = confirmChannelBeside(raw, settings.connection)
    const settler = new Settler(raw, open, { ...settings, clock, deadLetter: settings.onReject }, dedup)
    this.#home = { channel: raw, settler, dedup, settings }
    this.#answersItself = raw.recover.length > 0
    raw.on('close', () => this.#gone())
  }

  methods() {
    return {
      consume: this.#consume.bind(this),
      cancel: this.#cancel.bind(this),
      get: this.#get.bind(this),
      ack: this.#ack.bind(this),
      ackAll: this.#ackAll.bind(this),
      nack: this.#nack.bind(this),
      nackAll: this.#nackAll.bind(this),
      reject: this.#reject.bind(this),
      recover: this.#recover.bind(this),
      prefetch: this.#prefetch.bind(this),
      close: this.#close.bind(this),
    }
  }

  #consume(
    queue: string,
    callback: OnMessage,
    options?: { noAck?: boolean },
    done?: Done<Consuming>,
  ): unknown {
    return this.#answer(done, async () => {
      refuseNoAck('consume', options)
      refuseStreamArguments(options)
      this.#warnIfUnbounded()
      const intake = new Intake(this.#home, queue, callback)
      const consuming = await answerOf<Consuming>((told) =>
        this.#raw.consume(queue, (message) => intake.receive(message), options, told),
      )
      this.#intakes.set(consuming.consumerTag, intake)
      return consuming
    })
  }

  #warnIfUnbounded(): void {
    if (this.#isBounded) return
    this.#isBounded = true
    this.#home.dedup.warn(
      'consume without prefetch: the broker sends all it has at once; call channel.prefetch(n) before',
    )
  }

  #cancel(consumerTag: string, done?: Done<unknown>): unknown {
    return this.#answer(done, async () => {
      const cancelled = await answerOf((told) => this.#raw.cancel(consumerTag, told))
      this.#intakes.get(consumerTag)?.stop()
      this.#intakes.delete(consumerTag)
      return cancelled
    })
  }

  /** Answers the next message that is granted; what is not is settled and the next one is asked for. */
  #get(queue: string, options?: { noAck?: boolean }, done?: Done<AmqpMessage | false>): unknown {
    return this.#answer(done, async () => {
      refuseNoAck('get', options)
      for (;;) {
        const message = await answerOf<AmqpMessage | false>((told) => this.#raw.get(queue, options, told))
        if (message === false || (await this.#isGranted(message, queue))) return message
        // Given back: the same message would come again at once.
        if (this.#home.dedup.outage !== undefined) return false
      }
    })
  }

  async #isGranted(message: AmqpMessage, queue: string): Promise<boolean> {
    const { settler, dedup, settings } = this.#home
    const delivery = new Delivery(message, queue, settler.acks)
    settler.acks.arrived(delivery)
    const outcome = await dedup.claim({ key: readKey(settings.key, message), body: message.content })
    if (outcome.status === 'granted' || outcome.status === 'unprotected') {
      delivery.claim = outcome.status === 'granted' ? outcome.claim : undefined
      delivery.state = 'given'
      remember(delivery)
      return true
    }
    if (outcome.status === 'unavailable') settler.acks.nack(delivery, true)
    else await settler.settle(delivery, settlementOf(outcome, settlementPolicy(dedup)))
    return false
  }

  #ack(message: AmqpMessage, allUpTo?: boolean): unknown {
    const delivery = this.#find(message)
    for (const each of this.#named(delivery, message, allUpTo)) this.#succeeded(each)
    return this.#told(delivery !== undefined || allUpTo === true, () => this.#raw.ack(message, allUpTo))
  }

  #ackAll(): unknown {
    for (const each of this.#acks.given()) this.#succeeded(each)
    return this.#told(true, () => this.#raw.ackAll())
  }

  #nack(message: AmqpMessage, allUpTo?: boolean, requeue?: boolean): unknown {
    const delivery = this.#find(message)
    for (const each of this.#named(delivery, message, allUpTo)) this.#failed(each, requeue, 'nack')
    return this.#told(delivery !== undefined || allUpTo === true, () =>
      this.#raw.nack(message, allUpTo, requeue),
    )
  }

  #nackAll(requeue?: boolean): unknown {
    for (const each of this.#acks.given()) this.#failed(each, requeue, 'nack')
    return this.#told(true, () => this.#raw.nackAll(requeue))
  }

  #reject(message: AmqpMessage, requeue?: boolean): unknown {
    const delivery = this.#find(message)
    if (delivery !== undefined) this.#failed(delivery, requeue, 'reject')
    return this.#told(delivery !== undefined, () => this.#raw.reject(message, requeue))
  }

  /**
   * One by one: the broker's own recover gives back what is held or on its way too, and would leave us with
   * tags that nobody knows any more.
   */
  #recover(done?: Done<unknown>): unknown {
    return this.#answer(done, async () => {
      if (!this.#acks.open) return answerOf((told) => this.#raw.recover(told))
      for (const each of this.#acks.given()) this.#failed(each, true, 'nack')
      await this.#settledAll()
      return {}
    })
  }

  /** Acks that were asked for before are sent before. What is held goes back to its queue. */
  #close(done?: Done<unknown>): unknown {
    return this.#answer(done, async () => {
      for (const intake of this.#intakes.values()) intake.stop()
      await this.#settledAll()
      await this.#home.settler.close()
      return answerOf((told) => this.#raw.close(told))
    })
  }

  #prefetch(count: number, global?: boolean, done?: Done<unknown>): unknown {
    this.#isBounded = count > 0
    const answer = this.#raw.prefetch(count, global, done)
    return answer === this.#raw ? this.self : answer
  }

  get #acks(): ChannelAcks {
    return this.#home.settler.acks
  }

  /**
   * The delivery of a message, also when it came by another channel, or when a copy of the message is
   * settled.
   */
  #find(message: AmqpMessage): Delivery | undefined {
    return deliveryOf(message) ?? this.#acks.get(message.fields.deliveryTag)
  }

  #named(delivery: Delivery | undefined, { fields }: AmqpMessage, allUpTo: boolean | undefined): Delivery[] {
    if (allUpTo !== true) return delivery === undefined ? [] : [delivery]
    return (delivery?.acks ?? this.#acks).given(delivery?.tag ?? fields.deliveryTag)
  }

  /** What is not ours passes on; on a channel that is closed, everything does, and throws as amqplib does. */
  #told(isOurs: boolean, passOn: () => unknown): unknown {
    const answer = isOurs && this.#acks.open ? undefined : passOn()
    return this.#answersItself || answer === this.#raw ? this.self : answer
  }

  #succeeded(delivery: Delivery): void {
    if (!this.#begin(delivery)) return
    if (delivery.claim === undefined) return delivery.acks.ack(delivery)
    this.#ending += 1
    void delivery.claim.complete().then((completion) => {
      if (completion === 'completed') delivery.acks.ack(delivery)
      else void this.#home.settler.settle(delivery, this.#settlementOf(completion))
      this.#ended()
    })
  }

  #failed(delivery: Delivery, requeue: boolean | undefined, verb: 'nack' | 'reject'): void {
    if (!this.#begin(delivery)) return
    if (delivery.claim === undefined) return delivery.acks.nack(delivery, requeue, verb)
    this.#ending += 1
    void delivery.claim.release(requeue === false ? 'permanent' : 'failed').then(() => {
      delivery.acks.nack(delivery, requeue, verb)
      this.#ended()
    })
  }

  /** A message is settled once. To do it twice would make the broker close the channel. */
  #begin(delivery: Delivery): boolean {
    if (delivery.state === 'given') {
      delivery.state = 'ending'
      return true
    }
    this.#home.dedup.warn(
      'a message was settled that was settled before, or not given yet; the second time is ignored',
    )
    return false
  }

  #settlementOf(status: Exclude<Completion, 'completed'>): Settlement {
    const policy = settlementPolicy(this.#home.dedup)
    return settlementOf(status === 'lost' ? { status } : { status, result: undefined }, policy)
  }

  #ended(): void {
    this.#ending -= 1
    if (this.#ending === 0) this.#idle.open()
  }

  async #settledAll(): Promise<void> {
    const { clock, leaseMs } = this.#home.dedup.settings
    if (this.#ending > 0) await this.#idle.wait(clock, leaseMs)
  }

  /**
   * The broker delivers all of it again. Whose handler still runs may yet complete its key; a message that
   * nobody settles within a lease is taken for abandoned, so that its redelivery does not wait for ever.
   */
  #gone(): void {
    this.#acks.gone()
    for (const intake of this.#intakes.values()) intake.stop()
    const { clock, leaseMs } = this.#home.dedup.settings
    const release = (): void => {
      for (const { running, claim } of this.#acks.given()) if (!running) void claim?.release('failed')
    }
    clock.after(leaseMs, release, 'background')
  }

  /**
   * Answers by promise, or through the callback where the callback API is used, which answers its channel.
   */
  #answer<Value>(done: Done<Value> | undefined, run: () => Promise<Value>): unknown {
    const answer = run()
    if (typeof done !== 'function') return answer
    void tell(answer, done)
    return this.self
  }
}

async function tell<Value>(answer: Promise<Value>, done: Done<Value>): Promise<void> {
  let value: Value
  try {
    value = await answer
  } catch (error) {
    return done(error)
  }
  done(null, value)
}
