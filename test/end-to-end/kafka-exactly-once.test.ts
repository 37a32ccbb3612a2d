// 120 records through three members of a group that send two records for each, in Kafka's transactions. The
// members are killed with -9, stopped for longer than their session, and leave and join, again and again. A
// reader of what is committed counts. ONCEMQ_SOAK=1: 1500 records, more faults.
import { randomInt } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createDeduplicator, MemoryStore } from '@oncemq/core'
import { consume } from '@oncemq/kafka'
import { declareKafka } from '@oncemq/test-services/kafka'
import { describeService } from '@oncemq/test-services/vitest'
import { Admin, Consumer, Producer } from '@platformatic/kafka'
import type { TestContext } from 'vitest'
import { test } from 'vitest'
import { Crew } from './crew.ts'
import { historyFileOf } from './history.ts'
import type { PipelineAssignment } from './kafka-pipeline.ts'
import { SIDES } from './kafka-pipeline.ts'
import { clientOf, KafkaTopic } from './kafka-topic.ts'
import { randomOf, seedOf } from './random.ts'
import { until } from './until.ts'

const IS_SOAK = process.env['ONCEMQ_SOAK'] === '1'
const CONSUMER = fileURLToPath(new URL('kafka-pipeline-consumer.ts', import.meta.url))
const CONSUMERS = 3
const RECORDS = IS_SOAK ? 1500 : 120
const ROUNDS = IS_SOAK ? 12 : 2
const FAULT_WITHIN_MS = 1500
/** Longer than the session: the others have its partitions when it wakes. */
const SLEEP_MS = 5000
const SETTLE_MS = IS_SOAK ? 300_000 : 100_000
const TEST_MS = 2 * SETTLE_MS

type Crowd = Crew<PipelineAssignment>

const END = 'end'
const keys = Array.from({ length: RECORDS }, (_, index) => `${index % 17}-${index}`)
const expected = keys.flatMap((key) => SIDES.map((side) => `${side} ${key}`))

/**
 * The outputs that are committed, by their offset. Read as `consume` reads with @platformatic/kafka: kafkajs
 * 2.2.4 and platformatic's own streams hand over some records that were aborted.
 */
async function outputs(
  url: string,
  target: string,
  context: TestContext,
): Promise<ReadonlyMap<string, string>> {
  const seen = new Map<string, string>()
  const options = { clientId: target, bootstrapBrokers: [new URL(url).host] }
  const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: `${target}-reader` })
  const consumer = await consume({
    client: { Consumer, Producer, Admin, options },
    topics: [target],
    dedup,
    handler: ({ offset, value }) => void seen.set(offset, String(value)),
  })
  context.onTestFinished(async () => {
    await consumer.close({ timeoutMs: 1000 })
    await dedup.close()
  })
  return seen
}

/** Sends what is after all outputs in the one partition of their topic. */
async function sendEnd(url: string, target: string): Promise<void> {
  const producer = clientOf(url).producer({ allowAutoTopicCreation: false })
  await producer.connect()
  await producer.send({ topic: target, messages: [{ value: END }] })
  await producer.disconnect()
}

interface Case {
  readonly batchMax: number
  readonly isApart: boolean
}

async function play(
  url: string,
  { batchMax, isApart }: Case,
  context: TestContext,
): Promise<readonly string[]> {
  const name = `pipeline${randomInt(2 ** 31)}`
  const target = `${name}.out`
  const topic = await KafkaTopic.open(url, name, context)
  await declareKafka(url, [{ name: target }])
  const seen = await outputs(url, target, context)
  const assignment = { url, topic: name, target, historyFile: historyFileOf(context), batchMax, isApart }
  const crew: Crowd = new Crew<PipelineAssignment>(assignment, CONSUMER)
  context.onTestFinished(() => crew.end())
  await crew.start(CONSUMERS)
  await Promise.all([topic.send(keys), disturb(crew, randomOf(seedOf()))])
  await topic.settled(SETTLE_MS)
  await crew.stop()
  await sendEnd(url, target)
  await until('the reader to be there', () => new Set(seen.values()).has(END), SETTLE_MS)
  return [...seen.values()].filter((value) => value !== END)
}

async function disturb(crew: Crowd, random: (bound: number) => number): Promise<void> {
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const fault of [
      (place: number) => crew.kill(place),
      (place: number) => crew.freeze(place, SLEEP_MS),
      (place: number) => crew.replace(place),
    ]) {
      await delay(random(FAULT_WITHIN_MS))
      await fault(random(CONSUMERS))
    }
  }
}

const exact: Case = { batchMax: 1, isApart: false }
const batched: Case = { batchMax: 10, isApart: false }

function isExact(url: string, cases: readonly Case[]): void {
  const title = 'counts are exact, $batchMax at most in a transaction'
  test.concurrent.for(cases)(title, { timeout: TEST_MS }, async (one, context) => {
    const { expect } = context
    const seen = await play(url, one, context)
    expect(seen.toSorted()).toEqual(expected.toSorted())
  })
}

describeService('kafka-4.4', ({ url }) => {
  isExact(url, [exact, batched])

  test.concurrent('they are not where offsets commit apart', { timeout: TEST_MS }, async (context) => {
    const { expect } = context
    const seen = await play(url, { batchMax: 1, isApart: true }, context)
    expect(seen.length).toBeGreaterThan(expected.length)
  })
})

describeService('kafka-3.9', ({ url }) => {
  isExact(url, IS_SOAK ? [exact, batched] : [exact])
})
