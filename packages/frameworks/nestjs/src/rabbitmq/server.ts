import type { CustomTransportStrategy } from '@nestjs/microservices'
import { Server } from '@nestjs/microservices'
import type { HandlerContext } from '@oncemq/core'
import { PermanentError } from '@oncemq/core'
import { requireMethods } from '@oncemq/core/broker'
import type { AmqpConnection, AmqpMessage, Consumer } from '@oncemq/rabbitmq'
import { consume } from '@oncemq/rabbitmq'
import { lastValueFrom } from 'rxjs'
import { thrownBy } from '../thrown.ts'
import { OncemqContext } from './context.ts'
import type { OncemqRmqOptions } from './options.ts'

/** What `ClientRMQ` sends; an event has no `id`. */
interface Packet {
  readonly pattern: string
  readonly data: unknown
  readonly id?: unknown
}

/**
 * The RabbitMQ transport of Nest's microservices, with each message handled once. Handlers, patterns,
 * clients and their packets are those of `Transport.RMQ`. A handler that throws has its message again after a
 * wait; after its attempts it is parked. A duplicate is acked, and one of a `send` gets the first one's
 * reply.
 * @example
 * const strategy = new OncemqRmqServer({ connect: () => amqplib.connect(url), queue: 'orders', dedup })
 * const app = await NestFactory.createMicroservice(AppModule, { strategy })
 */
export class OncemqRmqServer<Tx = undefined> extends Server implements CustomTransportStrategy {
  override readonly transportId = Symbol.for('oncemq.nestjs.rabbitmq')
  readonly #options: OncemqRmqOptions<Tx>
  #consumer: Consumer | undefined

  /** @throws OptionError without `connect`; the other options are checked by `listen`. */
  constructor(options: OncemqRmqOptions<Tx>) {
    super()
    const remedy = 'pass { connect: () => amqplib.connect(url), queue, dedup }'
    requireMethods('OncemqRmqServer', options, ['connect'], remedy)
    this.#options = options
    this.initializeDeserializer({})
    this.initializeSerializer({})
  }

  /** @throws nothing: `callback` gets what is wrong. */
  async listen(callback: (error?: unknown) => void): Promise<void> {
    try {
      const { queueOptions, ...options } = this.#options
      if (queueOptions !== undefined) await declared(options.connect, options.queue, queueOptions)
      this.#consumer = await consume<Tx>({
        replayResult: true,
        payload,
        ...options,
        handler: (message, context) => this.#handle(message, context),
        onEnd: (error) => {
          this.logger.error(error.message)
          options.onEnd?.(error)
        },
      })
      callback()
    } catch (error) {
      callback(error)
    }
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
    const route = this.getPatternAsString(pattern)
    const handler = this.getHandlerByPattern(route)
    // A sender names the pattern: it is no part of the message.
    if (handler === null) throw new PermanentError('there is no handler for the pattern of this message')
    const context = new OncemqContext(message, route, run)
    const response = await this.#processed(context, async () => {
      const answer = this.transformToObservable(await handler(data, context))
      return lastValueFrom(answer, { defaultValue: undefined })
    })
    if (id === undefined) return undefined
    return this.serializer.serialize({ id: id as string, response, isDisposed: true }) as object
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
      throw thrownBy(context, error)
    } finally {
      this.onProcessingEndHook?.(this.transportId, context)
    }
  }
}

async function declared(
  connect: () => Promise<AmqpConnection>,
  queue: string,
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const connection = (await connect()) as unknown as DeclaringConnection
  try {
    const channel = await connection.createChannel()
    await channel.assertQueue(queue, options)
  } finally {
    await connection.close()
  }
}

interface DeclaringConnection {
  createChannel(): Promise<{ assertQueue(queue: string, options: object): Promise<unknown> }>
  close(): Promise<void>
}

/** Without what Nest's client makes anew each time that it sends. */
function payload({ content }: AmqpMessage): Uint8Array {
  const { pattern, data } = JSON.parse(content.toString()) as Packet
  return Buffer.from(JSON.stringify([pattern, data]))
}

/** As Nest's own transport reads it. */
function parsed(content: Buffer): unknown {
  try {
    return JSON.parse(content.toString())
  } catch {
    return content.toString()
  }
}
