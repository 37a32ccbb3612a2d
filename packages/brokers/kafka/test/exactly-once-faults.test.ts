import { createDeduplicator } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import type { Transaction } from 'kafkajs'
import { expect, onTestFinished, test } from 'vitest'
import type { ExactlyOnceOptions, KafkaTransaction } from '../src/index.ts'
import { consume, dedupEachMessage, exactlyOnce, parkedHeaders } from '../src/index.ts'
import { Pipeline, textOf } from './pipeline.ts'
import { clientOf, until } from './set-up.ts'

/** A member that handles one record, and waits in the middle of it until it is let go. */
async function halted(pipeline: Pipeline) {
  const { target } = pipeline
  const [begun, open] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const starts: string[] = []
  const { dedup } = await pipeline.run(async (message, { tx }) => {
    starts.push(textOf(message))
    await tx.send({ topic: target, messages: [{ value: `${textOf(message)} ${starts.length}` }] })
    begun.resolve()
    await open.promise
  })
  await pipeline.send('a')
  await begun.promise
  return { dedup, starts, open: () => open.resolve() }
}

function producerOf(pipeline: Pipeline, partition = 0) {
  const transactionalId = `t/${pipeline.group}/${pipeline.topic.name}/${partition}`
  const producer = pipeline.topic.kafka.producer({ transactionalId, maxInFlightRequests: 1 })
  onTestFinished(() => producer.disconnect())
  return producer
}

interface KillAt {
  readonly commit: number
  /** Right after the broker has answered it, and not right after it was asked. */
  readonly isAnswered: boolean
}

/** Kills the broker at these commits of the members to come, one after the other. */
function killsAtCommits(
  { topic: { kafka } }: Pipeline,
  server: { kill9(): Promise<void> },
  moments: readonly KillAt[],
): readonly Promise<void>[] {
  const kills = moments.map((moment) => ({ ...moment, ...Promise.withResolvers<void>() }))
  let commits = 0
  const watched = (transaction: Transaction): Transaction => ({
    ...transaction,
    async commit() {
      commits += 1
      const kill = kills.find(({ commit }) => commit === commits)
      const committed = transaction.commit()
      if (kill?.isAnswered === true) await committed
      kill?.resolve(server.kill9())
      await committed
    },
  })
  const make = kafka.producer.bind(kafka)
  kafka.producer = (options) => {
    const producer = make(options)
    return { ...producer, transaction: async () => watched(await producer.transaction()) }
  }
  return kills.map(({ promise }) => promise)
}

describeService('kafka-4.4', ({ url }) => {
  test('who has lost its partition commits neither outputs nor offset', async () => {
    const pipeline = await Pipeline.open(url)
    const outputs = await pipeline.outputs()
    const { starts, open } = await halted(pipeline)
    // Whoever gets the partition begins so.
    const next = producerOf(pipeline)
    await next.connect()
    const transaction = await next.transaction()
    open()
    await transaction.send({ topic: pipeline.target, messages: [{ value: 'a, by the next one' }] })
    const offsets = [{ topic: pipeline.topic.name, partitions: [{ partition: 0, offset: '1' }] }]
    await transaction.sendOffsets({ consumerGroupId: pipeline.group, topics: offsets })
    await transaction.commit()
    await pipeline.done(1)
    await pipeline.send('b')
    await pipeline.done(2)
    await until('the outputs', () => outputs.length === 2)
    expect(outputs).toEqual(['a, by the next one', 'b 2'])
    expect(starts).toEqual(['a', 'b'])
  })

  test('it takes the partition again while that is its own, and handles the record again', async () => {
    const pipeline = await Pipeline.open(url)
    const outputs = await pipeline.outputs()
    const { open } = await halted(pipeline)
    const other = producerOf(pipeline)
    await other.connect()
    const transaction = await other.transaction()
    await transaction.abort()
    open()
    await pipeline.done(1)
    await until('the output', () => outputs.length === 1)
    expect(outputs).toEqual(['a 2'])
  })

  test('a record that ends its process each time is parked after its starts', async () => {
    const pipeline = await Pipeline.open(url)
    const parked = await pipeline.topic.deadLetters()
    await pipeline.send('poison', 'b')
    // As whoever died has left it: its start was written down, and its end was not.
    const dead = producerOf(pipeline)
    await dead.connect()
    const transaction = await dead.transaction()
    const offsets = [{ partition: 0, offset: '0', metadata: 'oncemq starts=4' }]
    await transaction.sendOffsets({
      consumerGroupId: pipeline.group,
      topics: [{ topic: pipeline.topic.name, partitions: offsets }],
    })
    await transaction.commit()
    const seen: string[] = []
    await pipeline.run((message) => void seen.push(textOf(message)), { attemptsMax: 3 })
    await pipeline.done(2)
    await until('the dead letter', () => parked.length === 1)
    expect(seen).toEqual(['b'])
    expect(parked[0]?.headers).toMatchObject({
      [parkedHeaders.reason]: 'attempts',
      [parkedHeaders.attempts]: '4',
    })
  })

  test('a start is written down before it where a process may have ended with one', async () => {
    const pipeline = await Pipeline.open(url)
    const { open } = await halted(pipeline)
    expect(await pipeline.metadata()).toBe('oncemq starts=1')
    open()
    await pipeline.done(1)
    expect(await pipeline.metadata()).toBe(null)
  })

  test('what cannot be is refused at start, with the remedy', async () => {
    const kafka = clientOf(url)
    const make = (options: Partial<ExactlyOnceOptions>) =>
      createDeduplicator<KafkaTransaction>({
        consumerGroup: 'g',
        strategy: exactlyOnce({ client: kafka, ...options }),
      })
    expect(() => make({ client: kafka.producer() as never })).toThrow(/client: expected the Kafka object/)
    expect(() => make({ transactionalId: '' })).toThrow(/transactionalId: expected/)
    expect(() => make({ batch: { max: 0 } })).toThrow(/batch.max: expected/)
    const dedup = make({})
    const producer = kafka.producer()
    expect(() => dedupEachMessage(() => undefined, dedup, { producer })).toThrow(/position in a log/)
    await expect(dedup.run('key', () => undefined)).rejects.toMatchObject({ code: 'ONCEMQ_OPTION_INVALID' })
    const own = { client: kafka, topics: ['t'], dedup, handler: () => undefined }
    await expect(consume({ ...own, ordering: 'key' })).rejects.toThrow(/ordering: expected 'partition'/)
    const late = make({ transactionTimeoutMs: 86_400_000 })
    await expect(late.open()).rejects.toMatchObject({
      code: 'ONCEMQ_CONSUMER_UNSAFE',
      message: expect.stringContaining('transaction.max.timeout.ms') as string,
    })
    await Promise.all([dedup.close(), late.close()])
  })
})

describeService('kafka-4.4', { own: true }, (server) => {
  // At its worst moment: a commit is decided, and the partitions are not told yet. Kafka 4.3 and 4.4 forget
  // to, where they have no leader for a while (KAFKA-20734).
  test('while the broker is down all waits, and goes on with it', { timeout: 270_000 }, async () => {
    const pipeline = await Pipeline.open(server.url)
    const { target } = pipeline
    // A new broker finds its coordinators late, and kafkajs waits ever longer between its tries.
    const kills = killsAtCommits(pipeline, server, [
      { commit: 6, isAnswered: true },
      { commit: 16, isAnswered: false },
      { commit: 26, isAnswered: true },
    ])
    const { dedup } = await pipeline.run(async (message, { tx }) => {
      await tx.send({ topic: target, messages: [{ value: textOf(message) }] })
    })
    const values = Array.from({ length: 40 }, (_, index) => `${index}`)
    await pipeline.send(...values)
    for (const kill of kills) {
      await kill
      await server.start()
    }
    await until('no lag', async () => (await pipeline.topic.committed(pipeline.group)) === 40, 90_000)
    const outputs = await pipeline.outputs()
    await until('the outputs', () => outputs.length >= 40, 60_000)
    expect(outputs).toEqual(values)
    expect(dedup.counts()).toMatchObject({ deadLettered: 0, failed: 0 })
  })
})

describeService('kafka-4.4', { args: ['transaction.state.log.replication.factor=3'] }, ({ url }) => {
  test('a cluster that can keep no transactions is told', async () => {
    const warnings: string[] = []
    const kafka = clientOf(url)
    const dedup = createDeduplicator({
      consumerGroup: 'g',
      logger: { warn: (text) => void warnings.push(text) },
      strategy: exactlyOnce({ client: kafka }),
    })
    onTestFinished(() => dedup.close({ timeoutMs: 100 }))
    await expect(dedup.open()).rejects.toMatchObject({
      code: 'ONCEMQ_BROKER_UNAVAILABLE',
      message: expect.stringContaining('transaction.state.log.replication.factor') as string,
    })
  })
})
