import { describeService } from '@oncemq/test-services/vitest'
import type { ConsumerRunConfig, EachBatchPayload, Producer, Transaction } from 'kafkajs'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { KafkaMessage } from '../src/index.ts'
import { dedupEachBatch, dedupEachMessage } from '../src/index.ts'
import type { ClientName } from './set-up.ts'
import { clientNames, deduplicator, nameOf, running, Topic, until } from './set-up.ts'

const textOf = ({ value }: Pick<KafkaMessage, 'value'>): string => String(value).slice(0, 20).trim()

/** What one client takes for the end of a transaction that was aborted. */
const ZERO = '\0\0\0\0'
const PRODUCERS = 4

/** Producers whose transactions stand between each other in one partition. */
class Writers {
  readonly #topic: Topic
  readonly #producers: Producer[] = []
  readonly #open = new Map<number, Transaction>()

  constructor(topic: Topic) {
    this.#topic = topic
  }

  async send(at: number, value: string, key: string | null = null): Promise<void> {
    const transaction = this.#open.get(at) ?? (await (await this.#producer(at)).transaction())
    this.#open.set(at, transaction)
    await transaction.send({ topic: this.#topic.name, messages: [{ key, value }] })
  }

  async end(at: number, how: 'abort' | 'commit'): Promise<void> {
    await this.#open.get(at)?.[how]()
    this.#open.delete(at)
  }

  async #producer(at: number): Promise<Producer> {
    const known = this.#producers[at]
    if (known !== undefined) return known
    const transactionalId = `${this.#topic.name}-${at}`
    const producer = this.#topic.kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1 })
    this.#producers[at] = producer
    await producer.connect()
    onTestFinished(() => producer.disconnect())
    return producer
  }
}

/** Answers what was committed, in its order. */
async function interleaved(topic: Topic): Promise<readonly string[]> {
  const writers = new Writers(topic)
  // The one that began first is aborted last.
  await writers.send(0, 'aborted 0')
  await writers.send(1, 'aborted 1')
  await writers.send(2, 'b')
  await writers.end(1, 'abort')
  await writers.end(2, 'commit')
  await writers.end(0, 'abort')
  await writers.send(0, 'a')
  await writers.send(1, 'aborted 2', ZERO)
  await writers.send(1, 'aborted 3')
  await writers.send(2, 'c', ZERO)
  await writers.end(2, 'commit')
  await writers.end(1, 'abort')
  await writers.send(3, 'd')
  await writers.end(3, 'commit')
  await writers.end(0, 'commit')
  return ['b', 'a', 'c', 'd']
}

async function endOf(topic: Topic): Promise<number> {
  const admin = topic.kafka.admin()
  await admin.connect()
  const [partition] = await admin.fetchTopicOffsets(topic.name)
  await admin.disconnect()
  return Number(partition?.high)
}

describeService('kafka-4.4', ({ url }) => {
  describe.each(clientNames)('%s', (client: ClientName) => {
    test('of transactions between each other what was committed is handled, and nothing else', async () => {
      const topic = await Topic.open(url, 1, client)
      const committed = await interleaved(topic)
      const end = await endOf(topic)
      const seen: string[] = []
      const { group } = await running(topic, { handler: (message) => void seen.push(textOf(message)) })
      await until('no lag', async () => (await topic.committed(group)) >= end)
      expect(seen).toEqual(committed)
    })
  })

  test('where transactions go on beyond a fetch, likewise', { timeout: 90_000 }, async () => {
    const topic = await Topic.open(url)
    const committed = await many(topic, 1)
    const end = await endOf(topic)
    for (const maxBytesPerPartition of [3000, 10_000]) {
      const groupId = nameOf('g')
      const options = { groupId, maxWaitTimeInMs: 100, maxBytesPerPartition }
      const seen: string[] = []
      await running(topic, {
        client: undefined,
        consumer: topic.kafka.consumer(options),
        producer: topic.kafka.producer(),
        dedup: deduplicator({ consumerGroup: groupId }),
        handler: (message) => void seen.push(textOf(message)),
      })
      await until('no lag', async () => (await topic.committed(groupId)) >= end)
      expect(seen).toEqual(committed)
    }
  })

  test('a batch of the drop-in holds what was committed, as far as it says so', async () => {
    const topic = await Topic.open(url)
    const committed = await interleaved(topic)
    const end = await endOf(topic)
    const seen: string[] = []
    const dedup = deduplicator()
    const producer = topic.kafka.producer()
    const eachBatch = dedupEachBatch<EachBatchPayload>(
      ({ batch }) => void seen.push(...batch.messages.map(textOf)),
      dedup,
      { producer },
    )
    const groupId = await reading(topic, dedup, { eachBatch })
    await until('no lag', async () => (await topic.committed(groupId)) >= end)
    expect(seen).toEqual(committed)
  })

  test('the other drop-in, which sees one record alone, warns of transactions once', async () => {
    const topic = await Topic.open(url)
    const warnings: string[] = []
    const dedup = deduplicator({ logger: { warn: (text: string): void => void warnings.push(text) } })
    const producer = topic.kafka.producer()
    const seen: string[] = []
    const eachMessage = dedupEachMessage(({ message }) => void seen.push(String(message.value)), dedup, {
      producer,
    })
    await reading(topic, dedup, { eachMessage })
    await topic.send({ value: 'first' })
    await until('one without a transaction', () => seen.includes('first'))
    expect(warnings).toEqual([])
    const committed = await interleaved(topic)
    await until('those of transactions', () => seen.includes(committed.at(-1) ?? ''))
    expect(warnings.filter((text) => text.includes('transaction'))).toHaveLength(1)
  })
})

/** Consumes with a drop-in until the test has ended. Answers the group. */
async function reading(
  topic: Topic,
  dedup: ReturnType<typeof deduplicator>,
  run: ConsumerRunConfig,
): Promise<string> {
  const groupId = dedup.settings.consumerGroup
  const consumer = topic.kafka.consumer({ groupId, maxWaitTimeInMs: 100 })
  onTestFinished(() => consumer.disconnect())
  await consumer.connect()
  await consumer.subscribe({ topics: [topic.name], fromBeginning: true })
  await consumer.run(run)
  return groupId
}

/** Random ones, by a seed. */
async function many(topic: Topic, seed: number): Promise<readonly string[]> {
  const writers = new Writers(topic)
  const open = new Map<number, string[]>()
  const all: string[] = []
  const committed = new Set<string>()
  let state = seed
  const below = (bound: number): number => {
    state = (state * 48_271) % 2_147_483_647
    return state % bound
  }
  for (let step = 0; step < 300; step += 1) {
    const at = below(PRODUCERS)
    const values = open.get(at) ?? []
    if (values.length > 0 && below(4) === 0) {
      const how = below(2) === 0 ? 'abort' : 'commit'
      await writers.end(at, how)
      if (how === 'commit') for (const value of values) committed.add(value)
      open.delete(at)
    } else {
      const value = `v${step}`
      await writers.send(at, value.padEnd(300), below(4) === 0 ? ZERO : null)
      open.set(at, [...values, value])
      all.push(value)
    }
  }
  for (const at of open.keys()) await writers.end(at, 'abort')
  return all.filter((value) => committed.has(value))
}
