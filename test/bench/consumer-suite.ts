import { createDeduplicator } from '@oncemq/core'
import type { Deduplicator } from '@oncemq/core'
import { dedupChannel } from '@oncemq/rabbitmq'
import { service } from '@oncemq/test-services'
import { connect } from 'amqplib'
import type { ChannelModel, ConsumeMessage } from 'amqplib'
import { consumed } from './filled-queue.ts'
import type { Consume } from './filled-queue.ts'
import { interleaved } from './measure.ts'
import type { Variant, Watched } from './measure.ts'
import { processesOf } from './processor-time.ts'
import { reported } from './report.ts'
import type { Row } from './report.ts'
import type { Settings } from './settings.ts'
import type { BenchStore, Naive } from './stores/bench-store.ts'

const PREFETCH = [16, 128, 1024]

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
    run: () => consumed(consume, { connection, prefetch, messages, watched }),
  }))
}

function naively(naive: Naive): Consume {
  return bare((message) => naive.handle(String(message.properties.messageId)))
}

/** The consumer as amqplib's users write it. */
function bare(handle: (message: ConsumeMessage) => Promise<unknown>): Consume {
  return async ({ channel, queue }, settled) => {
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
  return ({ channel, ...place }, settled) =>
    consume({ ...place, channel: dedupChannel(channel, dedup) }, settled)
}
