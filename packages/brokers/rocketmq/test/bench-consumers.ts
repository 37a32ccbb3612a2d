import type { ConsumeRequest, SuiteConsumer, SuiteDelivery, SuiteQueue } from '@oncemq/conformance'
import rocketmq from 'rocketmq-client-nodejs'
import type { RocketmqMessage, RocketmqProducer } from '../src/index.ts'
import {
  stopClient,
  startClient,
  consume,
  contextOf,
  dedupListener,
  dedupSimpleConsumer,
  messageKeys,
} from '../src/index.ts'
import type { silent } from './set-up.ts'
import type { Client, Wired } from './wire.ts'

const { ConsumeResult, PushConsumer, SimpleConsumer } = rocketmq
const INVISIBLE_MS = 10_000
const RECEIVE_MAX = 32
const SOON_MS = 50
const RETRY = { firstMs: SOON_MS, factor: 1 }
const SHUTDOWN_MS = 8000
const POLL_END_MS = 2000
/** The suite sends messages without a key, too. */
const key = messageKeys({ without: 'none' })

interface Options {
  readonly namespace: string
  readonly logger: typeof silent
  readonly consumerGroup: string
  readonly subscriptions: Map<string, string>
  readonly awaitDuration: number
}

/** Where a consumer of the bench is. */
export interface Around {
  readonly optionsOf: (queue: SuiteQueue | undefined) => Options
  /** Where the messages of all topics are parked. */
  readonly parking: string
  readonly producer: RocketmqProducer
  /** Watches what a consumer acks, and lets it be cut. */
  readonly wire: <Consumer extends Client>(make: (endpoints: string) => Consumer) => Promise<Wired<Consumer>>
}

type Start = (around: Around, request: ConsumeRequest) => Promise<SuiteConsumer>

export type Form = 'managed' | 'simple' | 'push'

/** The three forms, each as its users write it. */
export const consumers: Readonly<Record<Form, Start>> = { managed, simple, push }

async function managed(around: Around, request: ConsumeRequest): Promise<SuiteConsumer> {
  const { dedup, handler, concurrency, middleware } = request
  const options = around.optionsOf(request.queue)
  const { consumer: raw, cut } = await around.wire(
    (endpoints) => new SimpleConsumer({ ...options, endpoints }),
  )
  const asked = async <Outcome>(message: RocketmqMessage, next: () => Promise<Outcome>): Promise<Outcome> => {
    await middleware?.(message.body.toString())
    return next()
  }
  const consumer = await consume({
    consumer: raw,
    key,
    ...parkingOf(around),
    dedup,
    concurrency,
    invisibleMs: INVISIBLE_MS,
    retry: RETRY,
    middlewares: middleware === undefined ? [] : [asked],
    handler: (message, context) => handler(deliveryOf(message, context)),
  })
  return { close: (given) => consumer.close(given), cut: async () => cut() }
}

async function simple(around: Around, request: ConsumeRequest): Promise<SuiteConsumer> {
  const options = around.optionsOf(request.queue)
  const { consumer: raw, cut } = await around.wire(
    (endpoints) => new SimpleConsumer({ ...options, endpoints }),
  )
  const consumer = dedupSimpleConsumer(raw, request.dedup, { key, ...parkingOf(around) })
  const running = new Set<Promise<void>>()
  let isStopping = false

  async function handle(message: rocketmq.MessageView): Promise<void> {
    const context = contextOf(message)
    if (context === undefined) throw new Error('expected a context, received none')
    const isDone = await request.handler(deliveryOf(message, context)).then(
      () => true,
      () => false,
    )
    await (isDone ? consumer.ack(message) : consumer.changeInvisibleDuration(message, SOON_MS))
  }

  async function receive(): Promise<void> {
    const free = request.concurrency - running.size
    if (free === 0) return Promise.race(running)
    for (const message of await consumer.receive(Math.min(RECEIVE_MAX, free), INVISIBLE_MS)) {
      // What cannot be told to a server that is gone comes again.
      const handled = handle(message).catch(() => undefined)
      running.add(handled)
      void handled.then(() => running.delete(handled))
    }
  }

  async function loop(): Promise<void> {
    while (!isStopping) await receive()
  }

  await consumer.startup()
  const looped = loop().catch(() => undefined)
  let closing: Promise<void> | undefined
  const close = async (): Promise<void> => {
    isStopping = true
    await Promise.race([looped, new Promise((resolve) => setTimeout(resolve, POLL_END_MS))])
    while (running.size > 0) await Promise.race(running)
    await consumer.shutdown()
  }
  return { close: () => (closing ??= close()), cut: async () => cut() }
}

async function push(around: Around, request: ConsumeRequest): Promise<SuiteConsumer> {
  const { dedup, handler, concurrency } = request
  const options = around.optionsOf(request.queue)
  const listener = {
    async consume(message: RocketmqMessage, context: Context) {
      await handler(deliveryOf(message, context))
      return ConsumeResult.SUCCESS
    },
  }
  const parking = parkingOf(around)
  const messageListener = dedupListener(listener, dedup, { key, ...parking, concurrency, retry: RETRY })
  const { consumer, cut } = await around.wire(
    (endpoints) => new PushConsumer({ ...options, endpoints, messageListener }),
  )
  await startClient(consumer)
  let closing: Promise<void> | undefined
  // It waits for a listener that waits for the store, up to its bound; the connections are closed then.
  const close = (): Promise<void> => stopClient(consumer, { timeoutMs: SHUTDOWN_MS }).catch(() => undefined)
  return { close: () => (closing ??= close()), cut: async () => cut() }
}

function parkingOf({ producer, parking }: Around) {
  return { producer, parkingTopic: () => parking }
}

type Context = Pick<SuiteDelivery, 'key' | 'epoch' | 'attempt' | 'signal'>

function deliveryOf(message: RocketmqMessage, { key: id, epoch, attempt, signal }: Context): SuiteDelivery {
  const { body, topic, messageId, keys, properties } = message
  return {
    body: body.toString(),
    key: id,
    epoch,
    attempt,
    signal,
    arrival: JSON.stringify([topic, messageId, keys]),
    spoil() {
      body.fill('!')
      Object.assign(message, { keys: ['spoilt'] })
      ;(properties as Map<string, string>).set('spoilt', 'yes')
    },
  }
}
