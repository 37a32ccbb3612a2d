import type { Deduplicator } from '@oncemq/core'
import { ChannelAcks } from './acks.ts'
import type { AmqpMessage, Consuming, Done, OnMessage, RawChannel } from './amqp.ts'
import { answerOf, isThenable } from './amqp.ts'
import { confirmChannelBeside } from './confirm-channel.ts'
import { Copies } from './copies.ts'
import type { Delivery } from './delivery.ts'
import { closed, Getter } from './getter.ts'
import { HopSecret } from './hop-secret.ts'
import { hopOptions } from './hops.ts'
import type { WrappedServices } from './wrapped-services.ts'
import { Intake, type IntakeOptions } from './intake.ts'
import { Publisher } from './publisher.ts'
import { refuseStreamArguments } from './queue-kind.ts'
import type { DedupChannelSettings } from './settings.ts'
import { passesThrough } from './settings.ts'
import { Settlements } from './settlements.ts'
import { StallWatch } from './stall-watch.ts'
import { consumeUnnamed, getUnnamed } from './unnamed-queue.ts'

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
  /** Whether the deduplicator is known to be closed. */
  #isStopped = false
  #stopping: Promise<void> | undefined
  /** Consumers that the broker has been asked for and has not confirmed. */
  readonly #starting = new Set<Promise<unknown>>()
  /** What `''` stands for in `consume` and `get`: the queue that the channel declared last. */
  #lastQueue: string | undefined
  #declaring: Promise<unknown> | undefined
  #prefetched: number | undefined
  /** The prefetch that all consumers of the channel share, and who watches it. */
  #prefetchedGlobally = 0
  #sharedWatch: StallWatch | undefined

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
      hopSecret: new HopSecret(() => dedup.secret()),
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
      checkQueue: this.#checkQueue.bind(this),
      consume: this.#orThrow('consume', this.#consume.bind(this)),
      cancel: this.#orThrow('cancel', this.#cancel.bind(this)),
      get: this.#orThrow('get', this.#get.bind(this)),
      publish: this.#publish.bind(this),
      sendToQueue: this.#sendToQueue.bind(this),
      ack: this.#settlements.ack.bind(this.#settlements),
      ackAll: this.#settlements.ackAll.bind(this.#settlements),
      nack: this.#settlements.nack.bind(this.#settlements),
      nackAll: this.#settlements.nackAll.bind(this.#settlements),
      reject: this.#settlements.reject.bind(this.#settlements),
      recover: this.#orThrow('recover', this.#recover.bind(this)),
      prefetch: this.#prefetch.bind(this),
      close: this.#orThrow('close', this.#close.bind(this)),
    }
  }

  /** On a channel that is closed, the methods of the callback API throw at once. */
  #orThrow<Args extends unknown[]>(
    name: 'consume' | 'cancel' | 'get' | 'recover' | 'close',
    method: (...args: Args) => unknown,
  ): (...args: Args) => unknown {
    const raw = this.#raw
    const passOn = raw[name].bind(raw) as (...args: unknown[]) => unknown
    return (...args) => (this.#answersItself && !this.#services.acks.open ? passOn(...args) : method(...args))
  }

  #assertQueue(queue: string, options?: object, done?: Done<unknown>): unknown {
    return this.#declared(done, (told) => this.#raw.assertQueue(queue, options, told))
  }

  #checkQueue(queue: string, done?: Done<unknown>): unknown {
    return this.#declared(done, (told) => this.#raw.checkQueue(queue, told))
  }

  /** Keeps the name that the broker tells, since it may have made it up. */
  #declared(done: Done<unknown> | undefined, declare: (told?: Done<unknown>) => unknown): unknown {
    const keep = (declared: unknown): void => {
      this.#lastQueue = (declared as { queue?: string } | undefined)?.queue ?? this.#lastQueue
    }
    if (!this.#answersItself) {
      const answer = declare()
      if (isThenable(answer)) this.#declaring = Promise.resolve(answer).then(keep, () => undefined)
      return answer
    }
    let heard: Done<unknown> = () => undefined
    const declaring = new Promise<void>((resolve) => {
      heard = (error, value) => {
        keep(value)
        resolve()
        done?.(error, value)
      }
    })
    const answer = declare(heard)
    this.#declaring = declaring
    return answer === this.#raw ? this.self : answer
  }

  #consume(
    queue: string,
    callback: OnMessage,
    options?: { noAck?: boolean; consumerTag?: string },
    done?: Done<Consuming>,
  ): unknown {
    return this.#answer(done, async () => {
      if (passesThrough(queue, options, this.#services.settings)) {
        return answerOf<Consuming>((told) => this.#raw.consume(queue, callback, options, told))
      }
      refuseStreamArguments(options)
      this.#warnIfUnbounded()
      const named = queue === '' ? await this.#lastDeclared() : queue
      if (named === undefined) return consumeUnnamed(this.#raw, options)
      const start = this.#start(named, callback, options)
      this.#starting.add(start)
      const ended = (): boolean => this.#starting.delete(start)
      start.then(ended, ended)
      return start
    })
  }

  async #start(queue: string, callback: OnMessage, options: IntakeOptions['consume']): Promise<Consuming> {
    // What it was sent would be given back, and be sent to it again.
    if (this.#isStopped) throw closed('consume')
    const windows = [this.#prefetched ?? 0, this.#prefetchedGlobally].filter((count) => count > 0)
    const window = windows.length === 0 ? 0 : Math.min(...windows)
    const sharedWatch = (): StallWatch | undefined => this.#sharedWatch
    const intake = new Intake(this.#services, { queue, callback, window, sharedWatch, consume: options })
    const consuming = await intake.start()
    this.#intakes.set(consuming.consumerTag, intake)
    return consuming
  }

  /** `undefined` where none was declared through the wrapped channel. */
  async #lastDeclared(): Promise<string | undefined> {
    await this.#declaring
    return this.#lastQueue
  }

  #warnIfUnbounded(): void {
    if (this.#prefetched !== undefined || this.#prefetchedGlobally > 0) return
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
      const named = queue === '' ? await this.#lastDeclared() : queue
      return named === undefined ? getUnnamed(this.#raw, options) : this.#getter.get(named, options)
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
    return publish(exchange, routingKey, content, hop, ...rest)
  }

  #sendToQueue(queue: string, content: Buffer, options?: object, ...rest: unknown[]): unknown {
    return this.#publish('', queue, content, options, ...rest)
  }

  #recover(done?: Done<unknown>): unknown {
    return this.#answer(done, () => this.#settlements.recover())
  }

  /**
   * What was asked for before is done before, copies and acks: a copy whose original went back would be there
   * twice. What is held goes back to its queue.
   */
  #close(done?: Done<unknown>): unknown {
    const answer = this.#answer(done, async () => {
      for (const intake of this.#intakes.values()) intake.stop()
      this.#getter.stop()
      await this.#settlements.done()
      const { clock, leaseMs } = this.#services.dedup.settings
      await this.#services.acks.drained(clock, leaseMs)
      await this.#publisher.close()
      return answerOf((told) => this.#raw.close(told))
    })
    // Alone of the callback API's methods, it does not answer its channel.
    return this.#answersItself ? undefined : answer
  }

  #prefetch(count: number, global?: boolean, done?: Done<unknown>): unknown {
    if (global) this.#shareWindow(count)
    else this.#prefetched = count
    const answer = this.#raw.prefetch(count, global, done)
    return answer === this.#raw ? this.self : answer
  }

  /** For all consumers of the channel, also those that are there. */
  #shareWindow(window: number): void {
    this.#prefetchedGlobally = window
    const { acks, dedup } = this.#services
    const { clock } = dedup.settings
    const all = (tell: (intake: Intake) => void) => () => this.#intakes.forEach(tell)
    this.#sharedWatch?.stop()
    this.#sharedWatch = new StallWatch({
      clock,
      window,
      unsettled: acks.count(({ intake }) => intake instanceof Intake),
      onStall: all((intake) => intake.crowd()),
      onPlace: all((intake) => intake.relax()),
    })
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
    this.#isStopped = true
    this.#services.dedup.warn(
      'the deduplicator was closed before this channel; its consumers are cancelled and their messages are ' +
        'given back. Close a deduplicator after its channels',
    )
    await Promise.allSettled(this.#starting)
    for (const consumerTag of this.#intakes.keys()) {
      await answerOf((told) => this.#raw.cancel(consumerTag, told)).catch(() => undefined)
    }
  }

  /**
   * The broker delivers all of it again. Whose handler has thrown is free for that. Whose handler still runs
   * may yet complete its key; any other that nobody settles within a lease is taken for abandoned, so that
   * its redelivery does not wait for ever.
   */
  #gone(): void {
    this.#services.acks.end()
    for (const intake of this.#intakes.values()) intake.stop()
    this.#getter.stop()
    this.#sharedWatch?.stop()
    const { clock, leaseMs } = this.#services.dedup.settings
    const release = (isMeant: (delivery: Delivery) => boolean): void => {
      for (const delivery of this.#services.acks.given())
        if (isMeant(delivery)) void delivery.claim?.release('failed')
    }
    release(({ hasThrown }) => hasThrown)
    clock.after(leaseMs, () => release(({ running }) => !running), 'background')
  }

  /**
   * Answers by promise, or through the callback where the callback API is used, which answers its channel.
   */
  #answer<Value>(done: Done<Value> | undefined, run: () => Promise<Value>): unknown {
    const answer = run()
    if (typeof done !== 'function' && !this.#answersItself) return answer
    void tell(answer, done ?? (() => undefined))
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
