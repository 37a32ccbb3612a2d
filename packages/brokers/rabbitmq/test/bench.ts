import type {
  BrokerBench,
  ConsumeRequest,
  SuiteConsumer,
  SuiteDeadLetter,
  SuiteDelivery,
  SuiteQueue,
} from '@oncemq/conformance'
import { isOncemqError } from '@oncemq/core'
import { type ChannelModel, connect, type ConsumeMessage } from 'amqplib'
import { expect } from 'vitest'
import type { AmqpMessage } from '../src/index.ts'
import { consume, contextOf, dedupChannel } from '../src/index.ts'
import { openProxy, type Proxy } from './proxy.ts'
import { readyIn, until } from './set-up.ts'
import type { SuiteLogStore } from './suite-log-store.ts'

export type Form = 'drop-in' | 'managed'

/** What the conformance suite works with: queues whose dead letters and parked messages end in one place. */
export async function openBench(
  url: string,
  namespace: string,
  form: Form,
  type: 'classic' | 'quorum' | 'stream' = 'classic',
): Promise<BrokerBench> {
  const connection = await connect(url)
  const channel = await connection.createConfirmChannel()
  const nameOf = (queue: SuiteQueue = 'first'): string =>
    queue === 'first' ? namespace : `${namespace}_second`
  const parking = `${namespace}.parked`
  const dlx = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': parking }
  await channel.assertQueue(parking, { durable: true })
  for (const queue of ['first', 'second'] as const) {
    await channel.assertQueue(nameOf(queue), {
      durable: true,
      arguments: { 'x-queue-type': type, ...(type !== 'stream' && dlx) },
    })
  }
  const started = form === 'managed' ? managed : dropIn
  const proxies: Proxy[] = []
  let sent = 0
  let store: unknown
  return {
    async send({ key, body, queue = 'first' }) {
      if (queue === 'first') sent += 1
      const options = {
        persistent: true,
        headers: { trace: body },
        ...(key !== undefined && { messageId: key }),
      }
      channel.sendToQueue(nameOf(queue), Buffer.from(body), options)
      await channel.waitForConfirms()
    },
    async consume(request) {
      const proxy = await openProxy(url)
      proxies.push(proxy)
      store = request.dedup.settings.store
      return started(proxy, nameOf(request.queue), request)
    },
    // A stream keeps all messages; its log says which of them are done.
    remaining: async () =>
      type === 'stream'
        ? sent - (store as SuiteLogStore).doneOf(namespace)
        : ((await readyIn(connection, namespace)) ?? 0),
    deadLettered: () => deadLettersIn(connection, parking),
    async close() {
      for (const proxy of proxies) proxy.close()
      for (const queue of [nameOf('first'), nameOf('second'), parking]) await channel.deleteQueue(queue)
      await connection.close()
    },
  }
}

async function managed(proxy: Proxy, queue: string, request: ConsumeRequest): Promise<SuiteConsumer> {
  const { connection, cut } = await cuttable(proxy)
  const { dedup, handler, concurrency, middleware } = request
  const around = async <Outcome>(message: AmqpMessage, next: () => Promise<Outcome>): Promise<Outcome> => {
    await middleware?.(message.content.toString())
    return next()
  }
  const consumer = await consume({
    connection,
    queue,
    dedup,
    prefetch: concurrency,
    retry: { firstMs: 50, factor: 1 },
    waitQueueType: 'classic',
    middlewares: middleware === undefined ? [] : [around],
    handler: (message, context) => handler({ ...seen(message), ...context }) as Promise<object>,
  })
  return { close: (options) => consumer.close(options), cut }
}

/** A consumer as users write it, on a wrapped channel. */
async function dropIn(proxy: Proxy, queue: string, request: ConsumeRequest): Promise<SuiteConsumer> {
  const { connection, cut } = await cuttable(proxy)
  const channel = dedupChannel(await connection.createChannel(), request.dedup, {
    waitQueueType: 'classic',
    retry: { firstMs: 50, factor: 1 },
  })
  channel.on('error', () => undefined)
  let running = 0
  const handle = async (message: ConsumeMessage): Promise<void> => {
    running += 1
    const context = contextOf(message) ?? expect.fail('a message without a context')
    try {
      await request.handler({ ...seen(message), ...context })
      settle(() => channel.ack(message))
    } catch (error) {
      settle(() => channel.nack(message, false, !(isOncemqError(error) && error.code === 'ONCEMQ_PERMANENT')))
    }
    running -= 1
  }
  await channel.prefetch(request.concurrency)
  const { consumerTag } = await channel.consume(queue, (message) => void (message && handle(message)))
  let closing: Promise<void> | undefined
  const close = async (): Promise<void> => {
    await channel.cancel(consumerTag)
    await until('the handlers have ended', () => running === 0)
    await channel.close()
    await connection.close()
  }
  return { close: () => (closing ??= close().catch(() => undefined)), cut }
}

/** What a handler sees of a message, and what it can do to it. */
function seen(message: AmqpMessage): Pick<SuiteDelivery, 'body' | 'arrival' | 'spoil'> {
  const { content, fields, properties } = message
  const { exchange, routingKey } = fields
  return {
    body: content.toString(),
    arrival: JSON.stringify([exchange, routingKey, properties.headers, properties.messageId]),
    spoil() {
      content.fill('!')
      Object.assign(properties, { messageId: 'spoilt', headers: { spoilt: true } })
    },
  }
}

/** On a channel that was cut, amqplib throws what users ignore. */
function settle(verb: () => void): void {
  try {
    verb()
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'IllegalOperationError') throw error
  }
}

async function cuttable(proxy: Proxy): Promise<{ connection: ChannelModel; cut: () => Promise<void> }> {
  const connection = await connect(proxy.url)
  connection.on('error', () => undefined)
  const closed = new Promise<void>((resolve) => connection.on('close', () => resolve()))
  return {
    connection,
    async cut() {
      proxy.cut()
      await closed
    },
  }
}

/** What was parked, or dead-lettered by the broker, so far: it is left where it is. */
async function deadLettersIn(connection: ChannelModel, queue: string): Promise<SuiteDeadLetter[]> {
  const channel = await connection.createChannel()
  const letters: SuiteDeadLetter[] = []
  for (;;) {
    const message = await channel.get(queue)
    if (message === false) break
    const headers = (message.properties.headers ?? {}) as Record<string, unknown>
    const text = (name: string): string | undefined => headers[`x-oncemq-${name}`] as string | undefined
    letters.push({
      body: message.content.toString(),
      reason: text('reason'),
      attempts: headers['x-oncemq-attempts'] as number | undefined,
      errorName: text('error'),
      errorMessage: text('error-message'),
    })
  }
  await channel.close()
  return letters
}
