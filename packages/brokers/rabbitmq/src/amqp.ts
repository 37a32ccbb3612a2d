/**
 * amqplib as this package sees it: the parts that it uses, by structure. amqplib 2.x and 0.10 fit, its
 * promises and its callbacks, and what imitates them. No type of amqplib stands in a public signature, so two
 * versions fit at once.
 */

/** A message as amqplib delivers it. */
export interface AmqpMessage {
  readonly content: Buffer
  readonly fields: AmqpFields
  readonly properties: AmqpProperties
}

/** How a message reached its consumer: what the broker says of a delivery. */
export interface AmqpFields {
  readonly deliveryTag: number
  readonly redelivered: boolean
  readonly exchange: string
  readonly routingKey: string
  readonly consumerTag?: string | undefined
}

/** The properties of a message, by amqplib's names; `expiration` is in milliseconds, as text. */
export interface AmqpProperties {
  readonly contentType?: string | undefined
  readonly contentEncoding?: string | undefined
  readonly headers?: Readonly<Record<string, unknown>> | undefined
  readonly deliveryMode?: number | undefined
  readonly priority?: number | undefined
  readonly correlationId?: string | undefined
  readonly replyTo?: string | undefined
  readonly expiration?: string | undefined
  readonly messageId?: string | undefined
  readonly timestamp?: number | undefined
  readonly type?: string | undefined
  readonly userId?: string | undefined
  readonly appId?: string | undefined
}

/** What a channel must have to be wrapped: loose on purpose, since a wrapped channel keeps its own type. */
export interface AmqpChannel {
  consume(queue: string, onMessage: never, options?: never): unknown
  ack(message: never, allUpTo?: boolean): unknown
  nack(message: never, allUpTo?: boolean, requeue?: boolean): unknown
  on(event: string, listener: (...args: never[]) => void): unknown
}

/** What a connection must have, to open channels on. */
export interface AmqpConnection {
  createChannel(): Promise<unknown>
  createConfirmChannel(): Promise<unknown>
}

/** How the callback API answers. */
export type Done<Value> = (error: unknown, value?: Value) => void

export type OnMessage = (message: AmqpMessage | null) => unknown

/** A channel as it is called here. With the callback API each answer comes through the last argument. */
export interface RawChannel {
  readonly connection?: unknown
  consume(queue: string, onMessage: OnMessage, options?: object, done?: Done<Consuming>): unknown
  cancel(consumerTag: string, done?: Done<unknown>): unknown
  get(queue: string, options?: object, done?: Done<AmqpMessage | false>): unknown
  ack(message: AmqpMessage, allUpTo?: boolean): unknown
  ackAll(): unknown
  nack(message: AmqpMessage, allUpTo?: boolean, requeue?: boolean): unknown
  nackAll(requeue?: boolean): unknown
  reject(message: AmqpMessage, requeue?: boolean): unknown
  recover(done?: Done<unknown>): unknown
  prefetch(count: number, global?: boolean, done?: Done<unknown>): unknown
  assertQueue(queue: string, options?: object, done?: Done<unknown>): unknown
  checkQueue(queue: string, done?: Done<unknown>): unknown
  publish(
    exchange: string,
    routingKey: string,
    content: Buffer,
    options?: object,
    done?: Done<unknown>,
  ): unknown
  close(done?: Done<unknown>): unknown
  on(event: string, listener: (...args: never[]) => void): unknown
  removeListener(event: string, listener: (...args: never[]) => void): unknown
  emit(event: string, ...args: unknown[]): boolean
  listenerCount(event: string): number
}

export interface Consuming {
  readonly consumerTag: string
}

/** One promise for a call that answers by promise or, with the callback API, through its last argument. */
export function answerOf<Value>(call: (done: Done<Value>) => unknown): Promise<Value> {
  return new Promise((resolve, reject) => {
    const answer = call((error, value) => {
      if (error === null || error === undefined) resolve(value as Value)
      else reject(error as Error)
    })
    if (isThenable(answer)) answer.then(resolve as (value: unknown) => void, reject)
  })
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
  )
}
