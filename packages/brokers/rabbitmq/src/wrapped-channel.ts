import type { Deduplicator } from '@oncemq/core'
import { OncemqError } from '@oncemq/core'
import { ChannelAcks } from './acks.ts'
import type { AmqpMessage, Consuming, Done, OnMessage, RawChannel } from './amqp.ts'
import { answerOf } from './amqp.ts'
import { confirmChannelBeside } from './confirm-channel.ts'
import { Copies } from './copies.ts'
import { Getter } from './getter.ts'
import { hopOptions } from './hops.ts'
import type { WrappedServices } from './intake.ts'
import { Intake } from './intake.ts'
import { Publisher } from './publisher.ts'
import { refuseStreamArguments } from './queue-kind.ts'
import type { DedupChannelSettings } from './settings.ts'
import { passesThrough } from './settings.ts'
import { Settlements } from './settlements.ts'

/** The methods of a channel that mean something else once it is wrapped. */
export class WrappedChannel {
  /** What a method answers whose original answers its channel. */
  self: unknown
  readonly #raw: RawChannel
  readonly #services: WrappedServices
  readonly #publisher: Publisher
  readonly #getter: Getter
  readonly #settlements: Settlements
  readonly #intakes = new Map<string, Intake>()
  /** The callback API's methods answer their channel. */
  readonly #answersItself: boolean
  #stopping: Promise<void> | undefined
  /** What `''` stands for in `consume` and `get`: the queue that the channel declared last. */
  #lastQueue: string | undefined
  #prefetched: number | undefined

  constructor(raw: RawChannel, dedup: Deduplicator, settings: DedupChannelSettings) {
    this.#raw = raw
    const { clock } = dedup.settings
    const acks = new ChannelAcks(raw)
    const open = confirmChannelBeside(raw, settings.connection)
    this.#publisher = new Publisher(open, dedup.settings)
    this.#services = {
      channel: raw,
      acks,
      copies: new Copies(this.#publisher, { ...settings, clock, secret: () => dedup.secret() }),
      dedup: dedup as unknown as Deduplicator<never>,
      settings,
      openChannel: async () => (await open()).channel,
      stopAll: () => this.#stopAll(),
    }
    this.#getter = new Getter(this.#services)
    this.#settlements = new Settlements(this.#services, (isOurs, passOn) => this.#told(isOurs, passOn))
    this.#answersItself = raw.recover.length > 0
    raw.on('close', () => this.#gone())
  }

  methods() {
    return {
      assertQueue: this.#assertQueue.bind(this),
      consume: this.#consume.bind(this),
      cancel: this.#cancel.bind(this),
      get: this.#get.bind(this),
      publish: this.#publish.bind(this),
      sendToQueue: this.#sendToQueue.bind(this),
      ack: this.#settlements.ack.bind(this.#settlements),
      ackAll: this.#settlements.ackAll.bind(this.#settlements),
      nack: this.#settlements.nack.bind(this.#settlements),
      nackAll: this.#settlements.nackAll.bind(this.#settlements),
      reject: this.#settlements.reject.bind(this.#settlements),
      recover: this.#recover.bind(this),
      prefetch: this.#prefetch.bind(this),
      close: this.#close.bind(this),
    }
  }

  #assertQueue(queue: string, options?: object, done?: Done<unknown>): unknown {
    const told = (declared: unknown): void => {
      this.#lastQueue = (declared as { queue?: string } | undefined)?.queue ?? this.#lastQueue
    }
    if (typeof done === 'function') {
      const heard: Done<unknown> = (error, value) => {
        told(value)
        done(error, value)
      }
      return this.#told(false, () => this.#raw.assertQueue(queue, options, heard))
    }
    const answer = this.#raw.assertQueue(queue, options)
    if (answer instanceof Promise) answer.then(told, () => undefined)
    return answer === this.#raw ? this.self : answer
  }

  #consume(
    queue: string,
    callback: OnMessage,
    options?: { noAck?: boolean },
    done?: Done<Consuming>,
  ): unknown {
    return this.#answer(done, async () => {
      if (passesThrough(queue, options, this.#services.settings)) {
        return answerOf<Consuming>((told) => this.#raw.consume(queue, callback, options, told))
      }
      refuseStreamArguments(options)
      this.#warnIfUnbounded()
      const named = this.#named(queue)
      const intake = new Intake(this.#services, named, callback, this.#prefetched ?? 0)
      const consuming = await answerOf<Consuming>((told) =>
        this.#raw.consume(named, (message) => intake.receive(message), options, told),
      )
      this.#intakes.set(consuming.consumerTag, intake)
      return consuming
    })
  }

  /** @throws OncemqError: a queue whose name is not known has no wait queue that leads back to it. */
  #named(queue: string): string {
    const named = queue === '' ? this.#lastQueue : queue
    if (named !== undefined) return named
    throw new OncemqError(
      'ONCEMQ_CONSUMER_UNSAFE',
      "consume: expected a queue's name, received '' on a channel that has not declared one through the " +
        'wrapped channel; declare it there, or name it',
    )
  }

  #warnIfUnbounded(): void {
    if (this.#prefetched !== undefined) return
    this.#prefetched = 0
    this.#services.dedup.warn(
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

  #get(queue: string, options?: { noAck?: boolean }, done?: Done<AmqpMessage | false>): unknown {
    return this.#answer(done, async () => {
      if (passesThrough(queue, options, this.#services.settings)) {
        return answerOf<AmqpMessage | false>((told) => this.#raw.get(queue, options, told))
      }
      return this.#getter.get(this.#named(queue), options)
    })
  }

  #publish(
    exchange: string,
    routingKey: string,
    content: Buffer,
    options?: object,
    ...rest: unknown[]
  ): unknown {
    const hop = hopOptions(this.#services, { exchange, routingKey, content, options })
    const publish = this.#raw.publish.bind(this.#raw) as (...args: unknown[]) => unknown
    return this.#told(false, () => publish(exchange, routingKey, content, hop, ...rest))
  }

  #sendToQueue(queue: string, content: Buffer, options?: object, ...rest: unknown[]): unknown {
    return this.#publish('', queue, content, options, ...rest)
  }

  #recover(done?: Done<unknown>): unknown {
    return this.#answer(done, () => this.#settlements.recover())
  }

  /** Acks that were asked for before are sent before. What is held goes back to its queue. */
  #close(done?: Done<unknown>): unknown {
    return this.#answer(done, async () => {
      for (const intake of this.#intakes.values()) intake.stop()
      this.#getter.stop()
      await this.#settlements.done()
      this.#services.acks.flush()
      await this.#publisher.close()
      return answerOf((told) => this.#raw.close(told))
    })
  }

  #prefetch(count: number, global?: boolean, done?: Done<unknown>): unknown {
    this.#prefetched = count
    const answer = this.#raw.prefetch(count, global, done)
    return answer === this.#raw ? this.self : answer
  }

  /** What is not ours passes on; on a channel that is closed, everything does, and throws as amqplib does. */
  #told(isOurs: boolean, passOn: () => unknown): unknown {
    const answer = isOurs && this.#services.acks.open ? undefined : passOn()
    return this.#answersItself || answer === this.#raw ? this.self : answer
  }

  #stopAll(): Promise<void> {
    this.#stopping ??= this.#cancelAll()
    return this.#stopping
  }

  async #cancelAll(): Promise<void> {
    this.#services.dedup.warn(
      'the deduplicator was closed before this channel; its consumers are cancelled and their messages are ' +
        'given back. Close a deduplicator after its channels',
    )
    for (const consumerTag of this.#intakes.keys()) {
      await answerOf((told) => this.#raw.cancel(consumerTag, told)).catch(() => undefined)
    }
  }

  /**
   * The broker delivers all of it again. Whose handler still runs may yet complete its key; a message that
   * nobody settles within a lease is taken for abandoned, so that its redelivery does not wait for ever.
   */
  #gone(): void {
    this.#services.acks.end()
    for (const intake of this.#intakes.values()) intake.stop()
    this.#getter.stop()
    const { clock, leaseMs } = this.#services.dedup.settings
    const release = (): void => {
      for (const { running, claim } of this.#services.acks.given())
        if (!running) void claim?.release('failed')
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
