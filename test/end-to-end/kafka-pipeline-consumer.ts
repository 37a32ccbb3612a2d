// One member of a group that hands on what it reads, exactly once. It runs until it is told to stop, its
// parent is gone, or it is killed.
import { setTimeout as delay } from 'node:timers/promises'
import { createDeduplicator } from '@oncemq/core'
import type { ExactlyOnceOptions } from '@oncemq/kafka'
import { consume, exactlyOnce } from '@oncemq/kafka'
import type { Producer, Transaction } from 'kafkajs'
import { memberOf } from './kafka-member.ts'
import type { PipelineAssignment } from './kafka-pipeline.ts'
import { SIDES } from './kafka-pipeline.ts'
import { clientOf } from './kafka-topic.ts'
import { assignment, Worker } from './worker.ts'

/** Between what was sent and its offset, where they do not commit together. */
const APART_MS = 100

type Client = ExactlyOnceOptions['client']

async function run(given: PipelineAssignment): Promise<void> {
  const { url, topic, target, batchMax } = given
  const worker = new Worker(given.historyFile)
  const kafka = clientOf(url)
  const client: Client = given.isApart ? apart(kafka) : kafka
  const dedup = createDeduplicator({
    consumerGroup: topic,
    strategy: exactlyOnce({ client, batch: { max: batchMax } }),
  })
  worker.watch(dedup)
  const consumer = await consume({
    ...memberOf('kafkajs', url, topic),
    topics: [topic],
    dedup,
    handler: ({ key, value }, { tx, ...context }) =>
      worker.work(context, async () => {
        for (const side of SIDES)
          await tx.send({ topic: target, messages: [{ key, value: `${side} ${String(value)}` }] })
      }),
  })
  await worker.serve(consumer, dedup)
}

/** A client whose transactions hold what is sent, and the offsets those after them. */
function apart(kafka: ReturnType<typeof clientOf>): Client {
  const split = (producer: Producer): Producer => ({
    ...producer,
    async transaction(): Promise<Transaction> {
      let transaction = await producer.transaction()
      const sendOffsets = async (offsets: Parameters<Transaction['sendOffsets']>[0]): Promise<void> => {
        await transaction.commit()
        await delay(APART_MS)
        transaction = await producer.transaction()
        await transaction.sendOffsets(offsets)
      }
      const own = {
        send: (record: Parameters<Transaction['send']>[0]) => transaction.send(record),
        sendOffsets,
        commit: () => transaction.commit(),
        abort: () => transaction.abort(),
      }
      return { ...transaction, ...own }
    },
  })
  return {
    consumer: (config) => kafka.consumer(config),
    admin: () => kafka.admin(),
    producer: (config) => split(kafka.producer(config)),
  }
}

await run(assignment<PipelineAssignment>())
