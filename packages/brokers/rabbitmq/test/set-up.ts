import { createDeduplicator, type Deduplicator, type DeduplicatorOptions, MemoryStore } from '@oncemq/core'
import { type Channel, type ChannelModel, connect, type ConsumeMessage, type GetMessage } from 'amqplib'
import { onTestFinished } from 'vitest'
import { type AmqpMessage, consume, type ConsumeOptions } from '../src/index.ts'

const WAIT_MS = 15_000
const LOOK_EVERY_MS = 10

/** Waits until `look` answers something true; fails with `what` when it does not in time. */
export async function until<Value>(what: string, look: () => Value | Promise<Value>, waitMs = WAIT_MS) {
  const endMs = performance.now() + waitMs
  for (;;) {
    const value = await look()
    if (value) return value
    if (performance.now() > endMs) throw new Error(`waited ${waitMs} ms for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
}

/** Lets pass what may still come: for showing that nothing does. */
export async function quiet(delayMs = 300): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, delayMs))
}

export async function connected(url: string): Promise<ChannelModel> {
  const connection = await connect(url)
  connection.on('error', () => undefined)
  onTestFinished(() => connection.close().catch(() => undefined))
  return connection
}

type SetUp = DeduplicatorOptions & { strategy?: 'lease' }

export function deduplicator(options: Partial<SetUp> = {}): Deduplicator {
  const dedup = createDeduplicator({
    store: new MemoryStore(),
    consumerGroup: 'test',
    ...options,
  } as SetUp)
  onTestFinished(() => dedup.close({ timeoutMs: 100 }))
  return dedup
}

let queues = 0

/** A durable queue of this test alone, and the names that we give to queues beside it. */
export async function newQueue(
  connection: ChannelModel,
  type: 'classic' | 'quorum' | 'stream' = 'classic',
  extra = {},
) {
  const channel = await connection.createConfirmChannel()
  const queue = `q-${process.pid}-${Math.random().toString(36).slice(2)}-${++queues}`
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': type, ...extra } })
  return {
    queue,
    channel,
    send: (id: string | undefined, body = id ?? '', options = {}) => send(channel, queue, id, body, options),
  }
}

async function send(channel: Channel, queue: string, id: string | undefined, body: string, options: object) {
  const properties = id === undefined ? {} : { messageId: id }
  await new Promise<void>((resolve, reject) => {
    const confirm = channel as { sendToQueue(...args: unknown[]): unknown }
    confirm.sendToQueue(
      queue,
      Buffer.from(body),
      { persistent: true, ...properties, ...options },
      (error: unknown) => (error ? reject(error as Error) : resolve()),
    )
  })
}

/** How many messages stand ready in a queue; undefined where there is no such queue. */
export async function readyIn(connection: ChannelModel, queue: string): Promise<number | undefined> {
  const channel = await connection.createChannel()
  channel.on('error', () => undefined)
  try {
    return (await channel.checkQueue(queue)).messageCount
  } catch {
    return undefined
  } finally {
    await channel.close().catch(() => undefined)
  }
}

/** A promise for what the callback API answers. */
export function answered<Value>(
  call: (done: (error: unknown, value: Value) => void) => unknown,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    call((error, value) => (error === null || error === undefined ? resolve(value) : reject(error as Error)))
  })
}

/** Consumes until the test ends. */
export async function consuming<Message extends AmqpMessage = ConsumeMessage>(
  options: ConsumeOptions<undefined, Message>,
) {
  const consumer = await consume(options)
  onTestFinished(() => consumer.close({ timeoutMs: 100 }))
  return consumer
}

/** Takes a message off a queue. */
export async function taken(connection: ChannelModel, queue: string): Promise<GetMessage> {
  const channel = await connection.createChannel()
  const message = await until('a message', () => channel.get(queue, { noAck: true }))
  await channel.close()
  return message as GetMessage
}
