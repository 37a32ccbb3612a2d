import { describeService } from '@oncemq/test-services/vitest'
import { Producer, stringSerializers } from '@platformatic/kafka'
import type { Transaction } from 'kafkajs'
import { describe, expect, onTestFinished, test } from 'vitest'
import { settlementOf } from '../src/exactly-once/endings.ts'
import { Pipeline, textOf } from './pipeline.ts'
import { until } from './set-up.ts'

/**
 * Leaves in the partition of the outputs what a broker does that forgets to end a transaction there: the
 * coordinator knows nothing of it. Fences the producer of the partition.
 */
async function leaveOpen(url: string, { group, topic, target }: Pipeline, value: string): Promise<void> {
  const producer = new Producer({
    clientId: 'test',
    bootstrapBrokers: [new URL(url).host],
    transactionalId: `t/${group}/${topic.name}/0`,
    idempotent: true,
    serializers: stringSerializers,
  })
  onTestFinished(() => producer.close(true))
  // None that the client would go on with.
  const transaction = await producer.beginTransaction({ producerId: -1n, producerEpoch: -1 })
  const addPartitions = (...[, , done]: [unknown, unknown, (error: null) => void]): void => done(null)
  await Object.assign(transaction, { addPartitions }).send({
    messages: [{ topic: target, partition: 0, value }],
  })
}

const args = ['transaction.partition.verification.enable=false']

describeService('kafka-4.4', { args }, ({ url }) => {
  test('what a broker forgot to commit is committed, and not aborted with the next', async () => {
    const pipeline = await Pipeline.open(url)
    const outputs = await pipeline.outputs()
    await pipeline.run(async (message, { tx, attempt }) => {
      await tx.send({ topic: pipeline.target, messages: [{ value: textOf(message) }] })
      if (attempt === 1) throw new Error('not yet')
    })
    await pipeline.send('a')
    await pipeline.done(1)
    await leaveOpen(url, pipeline, 'of a')
    await pipeline.send('b')
    await until('the outputs', () => outputs.includes('b'))
    expect(outputs).toEqual(['a', 'of a', 'b'])
    await pipeline.done(2)
  })

  test('what a broker forgot to abort is aborted, and not committed with the next', async () => {
    const pipeline = await Pipeline.open(url)
    const outputs = await pipeline.outputs()
    let isLeft = false
    await pipeline.run(async (message, { tx, attempt }) => {
      if (attempt === 2 && !isLeft) {
        isLeft = true
        await leaveOpen(url, pipeline, 'of the first attempt')
      }
      await tx.send({ topic: pipeline.target, messages: [{ value: textOf(message) }] })
      if (attempt === 1) throw new Error('not yet')
    })
    await pipeline.send('a')
    await pipeline.done(1)
    await until('the output', () => outputs.length > 0)
    expect(outputs).toEqual(['a'])
  })
})

/** The next sends of values fail as with a topic that has too few replicas in sync, that many times. */
function failingSends({ topic: { kafka } }: Pipeline, times: number): () => void {
  let failures = 0
  const make = kafka.producer.bind(kafka)
  const failing = (transaction: Transaction): Transaction => ({
    ...transaction,
    async send(record) {
      const [message] = record.messages
      if (message?.value === null || failures === 0) return transaction.send(record)
      failures -= 1
      const error = { name: 'KafkaJSProtocolError', type: 'NOT_ENOUGH_REPLICAS' }
      throw Object.assign(new Error('too few replicas'), error)
    },
  })
  kafka.producer = (options) => {
    const producer = make(options)
    return { ...producer, transaction: async () => failing(await producer.transaction()) }
  }
  return () => (failures = times)
}

describeService('kafka-4.4', ({ url }) => {
  test('when a broker was out of reach the one before is ended once more, and no start counts', async () => {
    const pipeline = await Pipeline.open(url)
    const outputs = await pipeline.outputs()
    const fail = failingSends(pipeline, 3)
    const attempts: number[] = []
    const { dedup } = await pipeline.run(
      async (message, { tx, attempt }) => {
        attempts.push(attempt)
        await tx.send({ topic: pipeline.target, messages: [{ value: textOf(message) }] })
      },
      { attemptsMax: 2 },
    )
    await pipeline.send('a')
    await pipeline.done(1)
    const size = await pipeline.size()
    fail()
    await pipeline.send('b')
    await until('the outputs', () => outputs.length === 2, 60_000)
    expect(outputs).toEqual(['a', 'b'])
    expect(dedup.counts()).toMatchObject({ deadLettered: 0, failed: 0 })
    expect(new Set(attempts)).toEqual(new Set([1]))
    // The record, its end, and at least one end more.
    expect(await pipeline.size()).toBeGreaterThan(size + 2)
  }, 90_000)
})

describe('how transactions are ended once more', () => {
  const of = (partition: number) => [{ topic: 't', partition }]
  const committed = { from: 1n, next: 2n, outputs: of(1) }
  const open = { from: 2n, outputs: of(2) }

  test('as they were, by where the group is', () => {
    expect(settlementOf({}, 1n)).toBe(undefined)
    for (const next of [1n, 2n])
      expect(settlementOf({ committed }, next)).toEqual({ end: 'commit', outputs: of(1) })
    expect(settlementOf({ committed, open }, 2n)).toEqual({ end: 'abort', outputs: of(2) })
    for (const next of [0n, 3n]) expect(settlementOf({ committed, open }, next)).toBe(undefined)
  })

  test('both are aborted where both run again', () => {
    expect(settlementOf({ committed, open }, 1n)).toEqual({ end: 'abort', outputs: [...of(1), ...of(2)] })
  })
})
