import type { Deduplicator } from '@oncemq/core'
import { createDeduplicator, watermark } from '@oncemq/core'
import { consume } from '@oncemq/kafka'
import { PostgresStore } from '@oncemq/postgres'
import { service } from '@oncemq/test-services'
import { declareKafka } from '@oncemq/test-services/kafka'
import { Kafka, logLevel } from 'kafkajs'
import type { PoolClient } from 'pg'
import pg from 'pg'
import { charge } from './charge.ts'
import { interleaved, timed } from './measure.ts'
import type { Run, Variant } from './measure.ts'
import { processesOf } from './processor-time.ts'
import { reported } from './report.ts'
import type { Row } from './report.ts'
import type { Settings } from './settings.ts'

/** As many as the store has transactions at a time. */
const PARTITIONS = 8
const SENT_AT_ONCE = 500

type LogDedup = Deduplicator<PoolClient>

/**
 * Kafka and PostgreSQL, a handler that writes one row, in the order of the partitions: a record for each
 * message, committed with its effect, against one row for each partition.
 */
export async function benchLogs(settings: Settings): Promise<readonly Row[]> {
  const [kafka, postgres] = await Promise.all([
    service('kafka-4.4'),
    service('postgres-18', { own: true, args: ['-c', 'shared_buffers=1GB'] }),
  ])
  const pool = new pg.Pool({ connectionString: postgres.url, max: 12 })
  await pool.query('CREATE TABLE charges (id text NOT NULL, cents integer NOT NULL)')
  const store = new PostgresStore<PoolClient>({ pool })
  let runs = 0
  const group = (): string => `bench-${process.pid}-${(runs += 1)}`
  const dedups: Readonly<Record<string, () => LogDedup>> = {
    // A record for each message: what the others are told as a ratio to.
    naive: () =>
      createDeduplicator({ store, consumerGroup: group(), sweepEveryMs: 0, strategy: 'transactional' }),
    watermark: () =>
      createDeduplicator({ store, consumerGroup: group(), sweepEveryMs: 0, strategy: watermark() }),
    'watermark, record': () =>
      createDeduplicator({
        store,
        consumerGroup: group(),
        sweepEveryMs: 0,
        strategy: watermark({ record: true }),
      }),
  }
  const watched = { server: processesOf(postgres), broker: processesOf(kafka) }
  const variants = Object.entries(dedups).map(([name, dedup]): Variant => {
    return { name, run: () => consumed(kafka.url, dedup(), settings.messages, watched) }
  })
  const measured = await interleaved(variants, settings.rounds)
  await pool.end()
  await Promise.all([kafka.close(), postgres.close()])
  const subject = { suite: 'logs', broker: 'kafka', store: 'postgres', inFlight: PARTITIONS } as const
  return reported(subject, measured)
}

/** Times from the first handler on: a group takes seconds to be joined. */
async function consumed(
  url: string,
  dedup: LogDedup,
  messages: number,
  watched: Parameters<typeof timed>[1],
): Promise<Run> {
  const client = new Kafka({ brokers: [new URL(url).host], logLevel: logLevel.NOTHING })
  const topic = dedup.settings.consumerGroup
  await fill(client, url, topic, messages)
  const begun = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<void>()
  let count = 0
  dedup.on('completed', () => void ((count += 1) === messages && ended.resolve()))
  const consumer = await consume({
    client,
    topics: [topic],
    dedup,
    concurrency: PARTITIONS,
    handler: async ({ value }, { tx }) => {
      begun.resolve()
      await charge(tx, String(value))
    },
  })
  await begun.promise
  const run = await timed(async () => {
    const before = count
    await ended.promise
    return messages - before
  }, watched)
  await consumer.close()
  return run
}

async function fill(client: Kafka, url: string, topic: string, messages: number): Promise<void> {
  await declareKafka(url, [{ name: topic, partitions: PARTITIONS }, { name: `${topic}.parked` }])
  const producer = client.producer({ allowAutoTopicCreation: false })
  await producer.connect()
  for (let from = 0; from < messages; from += SENT_AT_ONCE) {
    const size = Math.min(SENT_AT_ONCE, messages - from)
    const sent = Array.from({ length: size }, (_, at) => ({
      value: `${from + at}`,
      partition: (from + at) % PARTITIONS,
    }))
    await producer.send({ topic, messages: sent })
  }
  await producer.disconnect()
}
