import type { ConsumeRequest, SuiteConsumer } from '@oncemq/conformance'
import rocketmq from 'rocketmq-client-nodejs'
import type { RocketmqProducer } from '../src/index.ts'
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
  readonly options: Options
  readonly producer: RocketmqProducer
  /** Watches what a consumer acks, and lets it be cut. */
  readonly wire: <Consumer extends Client>(make: (endpoints: string) => Consumer) => Promise<Wired<Consumer>>
}

type Start = (around: Around, request: ConsumeRequest) => Promise<SuiteConsumer>

export type Form = 'managed' | 'simple' | 'push'

/** The three forms, each as its users write it. */
export const consumers: Readonly<Record<Form, Start>> = { managed, simple, push }

async function managed({ options, producer, wire }: Around, request: ConsumeRequest): Promise<SuiteConsumer> {
  const { dedup, handler, concurrency } = request
  const { consumer: raw, cut } = await wire((endpoints) => new SimpleConsumer({ ...options, endpoints }))
  const consumer = await consume({
    consumer: raw,
    key,
    producer,
    dedup,
    concurrency,
    invisibleMs: INVISIBLE_MS,
    retry: RETRY,
    handler: ({ body }, context) => handler(deliveryOf(body, context)),
  })
  return { close: () => consumer.close(), cut: async () => cut() }
}

async function simple({ options, producer, wire }: Around, request: ConsumeRequest): Promise<SuiteConsumer> {
  const { consumer: raw, cut } = await wire((endpoints) => new SimpleConsumer({ ...options, endpoints }))
  const consumer = dedupSimpleConsumer(raw, request.dedup, { key, producer })
  const running = new Set<Promise<void>>()
  let isStopping = false

  async function handle(message: rocketmq.MessageView): Promise<void> {
    const context = contextOf(message)
    if (context === undefined) throw new Error('expected a context, received none')
    const isDone = await request.handler(deliveryOf(message.body, context)).then(
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

async function push({ options, producer, wire }: Around, request: ConsumeRequest): Promise<SuiteConsumer> {
  const { dedup, handler, concurrency } = request
  const listener = {
    async consume({ body }: { body: Buffer }, context: Context) {
      await handler(deliveryOf(body, context))
      return ConsumeResult.SUCCESS
    },
  }
  const messageListener = dedupListener(listener, dedup, { key, producer, concurrency, retry: RETRY })
  const { consumer, cut } = await wire(
    (endpoints) => new PushConsumer({ ...options, endpoints, messageListener }),
  )
  await startClient(consumer)
  let closing: Promise<void> | undefined
  // It waits for a listener that waits for the store, up to its bound; the connections are closed then.
  const close = (): Promise<void> => stopClient(consumer, { timeoutMs: SHUTDOWN_MS }).catch(() => undefined)
  return { close: () => (closing ??= close()), cut: async () => cut() }
}

type Context = Omit<Parameters<ConsumeRequest['handler']>[0], 'body'>

function deliveryOf(body: Buffer, { key: id, epoch, attempt, signal }: Context) {
  return { body: body.toString(), key: id, epoch, attempt, signal }
}
