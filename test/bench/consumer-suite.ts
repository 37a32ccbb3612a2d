import { createDeduplicator } from '@oncemq/core'
import type { Deduplicator } from '@oncemq/core'
import { dedupChannel } from '@oncemq/rabbitmq'
import { service } from '@oncemq/test-services'
import { connect } from 'amqplib'
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib'
import { interleaved, timed } from './measure.ts'
import type { Run, Variant, Watched } from './measure.ts'
import { processesOf } from './processor-time.ts'
import { reported } from './report.ts'
import type { Row } from './report.ts'
import type { Settings } from './settings.ts'
import type { BenchStore, Naive } from './stores/bench-store.ts'

const PREFETCH = [16, 128, 1024]
const PUBLISH_CHUNK = 1000

/**
 * A way to consume: settles each message by itself, tells when it did, and answers how to close with all acks
 * sent.
 */
type Consume = (channel: Channel, queue: string, settled: () => void) => Promise<() => Promise<void>>

/**
 * The whole consumer on a real RabbitMQ: raw amqplib that acks and does not deduplicate, the naive statements
 * per message, and oncemq's drop-in channel.
 */
export async function benchConsumers(
  stores: readonly BenchStore[],
  settings: Settings,
): Promise<readonly Row[]> {
  const rabbit = await service('rabbitmq-4.0')
  const connection = await connect(rabbit.url)
  const rows: Row[] = []
  for (const store of stores) {
    const opened = await store.open()
    const dedup = createDeduplicator({ store: opened.store, consumerGroup: 'bench', sweepEveryMs: 0 })
    await dedup.open()
    const watched = { server: opened.processes, broker: processesOf(rabbit) }
    for (const inFlight of PREFETCH) {
      const consumers = { raw: bare(async () => {}), naive: naively(opened.naive), oncemq: guardedBy(dedup) }
      const named = variants(connection, inFlight, settings, consumers, watched)
      const runs = await interleaved(named, settings.rounds)
      rows.push(...reported({ suite: 'consumer', broker: 'rabbitmq', store: store.name, inFlight }, runs))
    }
    await dedup.close()
    await opened.close()
  }
  await connection.close()
  return rows
}

function variants(
  connection: ChannelModel,
  prefetch: number,
  { messages }: Settings,
  consumers: Readonly<Record<string, Consume>>,
  watched: Watched,
): readonly Variant[] {
  return Object.entries(consumers).map(([name, consume]) => ({
    name,
    run: () => consumed(connection, prefetch, messages, consume, watched),
  }))
}

function naively(naive: Naive): Consume {
  return bare((message) => naive.handle(String(message.properties.messageId)))
}

/** The consumer as amqplib's users write it. */
function bare(handle: (message: ConsumeMessage) => Promise<unknown>): Consume {
  return async (channel, queue, settled) => {
    const process = async (message: ConsumeMessage): Promise<void> => {
      await handle(message)
      channel.ack(message)
      settled()
    }
    await channel.consume(queue, (message) => void (message && process(message)))
    return () => channel.close()
  }
}

/** The same consumer on the drop-in channel. */
function guardedBy(dedup: Deduplicator): Consume {
  const consume = bare(async () => {})
  return (channel, queue, settled) => consume(dedupChannel(channel, dedup), queue, settled)
}

let series = 0

/** Fills a queue, then times how long it takes to empty: until the broker has every ack. */
async function consumed(
  connection: ChannelModel,
  prefetch: number,
  messages: number,
  consume: Consume,
  watched: Watched,
): Promise<Run> {
  series += 1
  const queue = `oncemq-bench-${process.pid}-${series}`
  await fill(connection, queue, messages)
  const channel = await connection.createChannel()
  await channel.prefetch(prefetch)
  const run = await timed(async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    let left = messages
    const close = await consume(channel, queue, () => {
      left -= 1
      if (left === 0) resolve()
    })
    await promise
    await close()
    return messages
  }, watched)
  await assertEmpty(connection, queue)
  return run
}

async function fill(connection: ChannelModel, queue: string, messages: number): Promise<void> {
  const channel = await connection.createConfirmChannel()
  await channel.assertQueue(queue, { durable: false })
  const body = Buffer.from(JSON.stringify({ account: 'a-1', cents: 1999 }))
  for (let number = 0; number < messages; number += 1) {
    channel.sendToQueue(queue, body, { messageId: `${queue}-${number}` })
    if (number % PUBLISH_CHUNK === PUBLISH_CHUNK - 1) await channel.waitForConfirms()
  }
  await channel.waitForConfirms()
  await channel.close()
}

/** A run that left a message behind measured something else. */
async function assertEmpty(connection: ChannelModel, queue: string): Promise<void> {
  const channel = await connection.createChannel()
  const { messageCount } = await channel.deleteQueue(queue)
  await channel.close()
  if (messageCount > 0)
    throw new Error(`expected an empty queue after the run, received ${messageCount} messages`)
}
