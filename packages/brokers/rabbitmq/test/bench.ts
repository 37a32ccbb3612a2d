import type { BrokerBench, ConsumeRequest, SuiteConsumer, SuiteDeadLetter } from '@oncemq/conformance'
import { isOncemqError } from '@oncemq/core'
import { type ChannelModel, connect, type ConsumeMessage } from 'amqplib'
import { consume, contextOf, dedupChannel } from '../src/index.ts'
import { proxyTo } from './proxy.ts'
import { readyIn, until } from './set-up.ts'

export type Form = 'drop-in' | 'managed'

/** What the conformance suite works with: a queue whose dead letters and parked messages end in one place. */
export async function openBench(
  url: string,
  queue: string,
  form: Form,
  type: 'classic' | 'quorum' = 'classic',
): Promise<BrokerBench> {
  const connection = await connect(url)
  const channel = await connection.createConfirmChannel()
  const parking = `${queue}.parked`
  const dlx = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': parking }
  await channel.assertQueue(parking, { durable: true })
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': type, ...dlx } })
  return {
    async send({ key, body }) {
      const options = { persistent: true, ...(key === undefined ? {} : { messageId: key }) }
      channel.sendToQueue(queue, Buffer.from(body), options)
      await channel.waitForConfirms()
    },
    consume: async (request) =>
      form === 'managed' ? managed(url, queue, request) : dropIn(url, queue, request),
    remaining: async () => (await readyIn(connection, queue)) ?? 0,
    deadLettered: () => deadLettersIn(connection, parking),
    async close() {
      await channel.deleteQueue(queue)
      await channel.deleteQueue(parking)
      await connection.close()
    },
  }
}

async function managed(url: string, queue: string, request: ConsumeRequest): Promise<SuiteConsumer> {
  const { connection, cut } = await cuttable(url)
  const { dedup, handler, concurrency } = request
  const consumer = await consume({
    connection,
    queue,
    dedup,
    prefetch: concurrency,
    retry: { firstMs: 50, factor: 1 },
    waitQueueType: 'classic',
    handler: ({ content }, { key, epoch, attempt, signal }) =>
      handler({ body: content.toString(), key, epoch, attempt, signal }),
  })
  return { close: () => consumer.close(), cut }
}

/** A consumer as users write it, on a wrapped channel. */
async function dropIn(url: string, queue: string, request: ConsumeRequest): Promise<SuiteConsumer> {
  const { connection, cut } = await cuttable(url)
  const channel = dedupChannel(await connection.createChannel(), request.dedup, { waitQueueType: 'classic' })
  channel.on('error', () => undefined)
  let running = 0
  const handle = async (message: ConsumeMessage): Promise<void> => {
    running += 1
    const { key, epoch, attempt, signal } = contextOf(message) ?? {}
    if (epoch === undefined || attempt === undefined || signal === undefined) throw new Error('no context')
    try {
      await request.handler({ body: message.content.toString(), key, epoch, attempt, signal })
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

/** On a channel that was cut, amqplib throws what users ignore. */
function settle(verb: () => void): void {
  try {
    verb()
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'IllegalOperationError') throw error
  }
}

async function cuttable(url: string): Promise<{ connection: ChannelModel; cut: () => Promise<void> }> {
  const proxy = await proxyTo(url)
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

/** Looks at the messages of a queue; they go back when the channel closes. */
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
