import { setTimeout as delay } from 'node:timers/promises'
import { Kafka, logLevel } from 'kafkajs'

const WAIT_MAX_MS = 20_000
const LOOK_EVERY_MS = 50

export interface KafkaTopic {
  readonly name: string
  readonly partitions?: number
}

/**
 * Makes topics, and waits until the broker leads all their partitions: it tells of them before. An idempotent
 * producer of kafkajs that is refused by one partition of several fails for good.
 *
 * @example
 * await declareKafka(server.url, [{ name: 'orders', partitions: 6 }])
 */
export async function declareKafka(url: string, topics: readonly KafkaTopic[]): Promise<void> {
  const admin = new Kafka({ brokers: [new URL(url).host], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    await admin.createTopics({
      topics: topics.map(({ name, partitions = 1 }) => ({ topic: name, numPartitions: partitions })),
      // The client's own wait fails for a topic that the broker has not heard of yet.
      waitForLeaders: false,
    })
    const endMs = performance.now() + WAIT_MAX_MS
    const names = topics.map(({ name }) => name)
    const areLed = (): Promise<boolean> =>
      Promise.all(names.map((name) => admin.fetchTopicOffsets(name))).then(
        () => true,
        () => false,
      )
    while (!(await areLed())) {
      if (performance.now() > endMs) throw new Error(`waited ${WAIT_MAX_MS} ms for topics: ${names.join()}`)
      await delay(LOOK_EVERY_MS)
    }
  } finally {
    await admin.disconnect()
  }
}
