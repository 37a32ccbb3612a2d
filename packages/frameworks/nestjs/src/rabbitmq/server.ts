import type { CustomTransportStrategy, MessageHandler, OutgoingResponse } from '@nestjs/microservices'
import { Server } from '@nestjs/microservices'
import type { HandlerContext } from '@oncemq/core'
import { requireMethods } from '@oncemq/core/broker'
import type { AmqpMessage, ConsumeOptions, Consumer } from '@oncemq/rabbitmq'
import { consume } from '@oncemq/rabbitmq'
import { lastValueFrom } from 'rxjs'
import { OncemqContext } from './context.ts'
import { Failures } from './failures.ts'
import type { OncemqRmqOptions } from './options.ts'
import { fits, hasWildcards } from './patterns.ts'
import { declaring } from './topology.ts'

/** What `ClientRMQ` sends; an event has no `id`. */
interface Packet {
  readonly pattern: unknown
  readonly data: unknown
  readonly id?: unknown
}

/**
 * The RabbitMQ transport of Nest's microservices, with each message handled once. Handlers, patterns,
 * clients and their packets are those of `Transport.RMQ`. A handler that throws has its message again after a
 * wait; after its attempts it is parked, and the client of a `send` gets the error then. A duplicate is
 * acked, and one of a `send` gets the first one's reply.
 * @example
 * const strategy = new OncemqRmqServer({ connect: () => amqplib.connect(url), queue: 'orders', dedup })
 * const app = await NestFactory.createMicroservice(AppModule, { strategy })
 */
export class OncemqRmqServer<Tx = undefined> extends Server implements CustomTransportStrategy {
  override readonly transportId = Symbol.for('oncemq.nestjs.rabbitmq')
  readonly #options: OncemqRmqOptions<Tx>
  readonly #failures: Failures
  /** Further handlers of an event's pattern, by the first. */
  readonly #further = new WeakMap<MessageHandler, MessageHandler[]>()
  #consumer: Consumer | undefined

  /** @throws OptionError without `connect`; the other options are checked by `listen`. */
  constructor(options: OncemqRmqOptions<Tx>) {
    super()
    const remedy = 'pass { connect: () => amqplib.connect(url), queue, dedup }'
    requireMethods('OncemqRmqServer', options, ['connect'], remedy)
    this.#options = options
    this.#failures = new Failures(options.isPermanent)
    this.initializeDeserializer(options as object)
    this.initializeSerializer(options as object)
  }

  /** @throws nothing: `callback` gets what is wrong. */
  async listen(callback: (error?: unknown) => void): Promise<void> {
    try {
      this.#consumer = await consume<Tx>({
        replayResult: true,
        payload,
        ...consumeOptions(this.#options),
        connect: declaring(this.#options, () => [...this.getHandlers().keys()]),
        handler: (message, context) => this.#handle(message, context),
        errorReply: (message, error) => this.#errorReply(message, error),
        onEnd: (error) => {
          this.logger.error(error.message)
          this.#options.onEnd?.(error)
        },
      })
      callback()
    } catch (error) {
      callback(error)
    }
  }

  /**
   * Nest runs the handlers of one event side by side, and goes on when the first of them throws: the others
   * would run beside the next attempt. Here they run one after the other.
   */
  override addHandler(
    pattern: unknown,
    callback: MessageHandler,
    isEventHandler = false,
    extras: Record<string, unknown> = {},
  ): void {
    const first = this.getHandlers().get(this.normalizePattern(pattern as string))
    if (!isEventHandler || first === undefined) {
      super.addHandler(pattern, callback, isEventHandler, extras)
      return
    }
    this.#further.set(first, [...(this.#further.get(first) ?? []), Object.assign(callback, { extras })])
  }

  override getHandlerByPattern(pattern: string): MessageHandler | null {
    const handler = super.getHandlerByPattern(pattern)
    if (handler !== null || this.#options.wildcards !== true) return handler
    const found = [...this.getHandlers()].find(([each]) => hasWildcards(each) && fits(each, pattern))
    return found?.[1] ?? null
  }

  /** Takes no further messages, and waits for the handlers that run, for up to 30 s. */
  async close(): Promise<void> {
    await this.#consumer?.close()
  }

  /** There are no events beside those of the deduplicator. */
  on(): void {}

  /** The running consumer; `undefined` before `listen`. */
  unwrap<T = Consumer | undefined>(): T {
    return this.#consumer as T
  }

  async #handle(message: AmqpMessage, run: HandlerContext<Tx>): Promise<object | undefined> {
    const { pattern, data, id } = (await this.deserializer.deserialize(
      parsed(message.content),
      message.properties,
    )) as Packet
    const route = typeof pattern === 'string' ? pattern : String(JSON.stringify(pattern))
    const handler = this.getHandlerByPattern(route)
    if (handler === null) throw this.#failures.unhandled()
    const context = new OncemqContext(message, route, run)
    const response = await this.#processed(context, async () => {
      let answer: unknown
      for (const each of [handler, ...(this.#further.get(handler) ?? [])]) {
        const answers = this.transformToObservable(await each(data, context))
        answer = await lastValueFrom(answers, { defaultValue: undefined })
      }
      return answer
    })
    return id === undefined ? undefined : this.#reply({ id, response })
  }

  #reply(answer: { id: unknown; response?: unknown; err?: unknown }): object {
    return this.serializer.serialize({ ...answer, isDisposed: true } as OutgoingResponse) as object
  }

  /** What a request that has been dead-lettered is answered; an event asks for nothing. */
  #errorReply({ content, properties }: AmqpMessage, error: unknown): object {
    const { id = properties.correlationId } = Object(parsed(content)) as Partial<Packet>
    return this.#reply({ id, err: this.#failures.answerTo(error) })
  }

  /** Calls Nest's hooks around a handler, and throws what it has thrown. */
  async #processed(context: OncemqContext<Tx>, work: () => Promise<unknown>): Promise<unknown> {
    try {
      return await new Promise((resolve, reject) => {
        this.onProcessingStartHook(this.transportId, context, async () => {
          await work().then(resolve, reject)
        })
      })
    } catch (error) {
      throw this.#failures.of(context, error)
    } finally {
      this.onProcessingEndHook?.(this.transportId, context)
    }
  }
}

const nestsOptions: ReadonlySet<string> = new Set<keyof OncemqRmqOptions>([
  'deserializer',
  'exchange',
  'exchangeArguments',
  'exchangeType',
  'isPermanent',
  'queueOptions',
  'routingKey',
  'serializer',
  'wildcards',
])

/** Those of `consume`: the others are Nest's. */
function consumeOptions<Tx>(options: OncemqRmqOptions<Tx>): Omit<ConsumeOptions<Tx>, 'handler'> {
  const own = Object.entries(options).filter(([name]) => !nestsOptions.has(name))
  return Object.fromEntries(own) as unknown as Omit<ConsumeOptions<Tx>, 'handler'>
}

/** Without what Nest's client makes anew each time that it sends; what others have sent, as it is. */
function payload({ content }: AmqpMessage): Uint8Array {
  const packet = parsed(content) as Partial<Packet> | null
  if (typeof packet !== 'object' || packet?.pattern === undefined) return content
  return Buffer.from(JSON.stringify([packet.pattern, packet.data]))
}

/** As Nest's own transport reads it. */
function parsed(content: Buffer): unknown {
  try {
    return JSON.parse(content.toString())
  } catch {
    return content.toString()
  }
}
