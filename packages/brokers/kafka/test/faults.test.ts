import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { PermanentError } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, onTestFinished, test } from 'vitest'
import type { KafkaMessage } from '../src/index.ts'
import { parkedHeaders } from '../src/index.ts'
import { deduplicator, running, Topic, until } from './set-up.ts'

const textOf = ({ value }: KafkaMessage): string => String(value)

/** What a broker takes at most by default, all in all. */
const RECORD_MAX = 1_048_588
/** More than are held of a partition. */
const MANY = 1500

describeService('kafka-4.4', ({ url }) => {
  test('aborted records are not handled, and the ends of transactions are passed', async () => {
    const topic = await Topic.open(url)
    const seen: string[] = []
    const { group } = await running(topic, { handler: (message) => void seen.push(textOf(message)) })
    const options = { transactionalId: topic.name, idempotent: true, maxInFlightRequests: 1 }
    const producer = topic.kafka.producer(options)
    await producer.connect()
    onTestFinished(() => producer.disconnect())
    for (const value of ['a', 'aborted', 'b', 'aborted']) {
      const transaction = await producer.transaction()
      await transaction.send({ topic: topic.name, messages: [{ value }, { value }] })
      await (value === 'aborted' ? transaction.abort() : transaction.commit())
    }
    await until('no lag', async () => (await topic.committed(group)) === 12)
    expect(seen).toEqual(['a', 'a', 'b', 'b'])
  })

  test('a partition that was full, went and came back is fetched again', { timeout: 90_000 }, async () => {
    const topic = await Topic.open(url, 2)
    const dedup = deduplicator()
    let [count, open] = [0, (): void => undefined]
    const opened = new Promise<void>((resolve) => (open = resolve))
    const handler = async (): Promise<void> => opened.then(() => void (count += 1))
    const paused: string[] = []
    const client = topic.kafka.consumer({ groupId: dedup.settings.consumerGroup, maxWaitTimeInMs: 100 })
    const pause = client.pause.bind(client)
    client.pause = (topics) => {
      for (const { partitions = [] } of topics) paused.push(...partitions.map(String))
      pause(topics)
    }
    for (const partition of [0, 1]) {
      await topic.send(...Array.from({ length: MANY }, (_, index) => ({ value: `${index}`, partition })))
    }
    const own = { client: undefined, consumer: client, producer: topic.kafka.producer() }
    const { group } = await running(topic, { dedup, handler, ...own })
    await until('both to be full', () => new Set(paused).size === 2)
    const joins: (readonly number[])[] = []
    client.on('consumer.group_join', ({ payload }) => {
      joins.push(payload.memberAssignment[topic.name] ?? [])
    })
    const second = await running(topic, { dedup, handler })
    await until('one to have gone', () => joins.at(-1)?.length === 1)
    await second.consumer.close({ timeoutMs: 100 })
    await until('it to have come back', () => joins.at(-1)?.length === 2)
    open()
    const offsets = (): Promise<number[]> => Promise.all([0, 1].map((each) => topic.committed(group, each)))
    await until('no lag', async () => (await offsets()).every((offset) => offset === MANY), 60_000)
    expect(count).toBe(2 * MANY)
  })

  test('headers that the client mistakes do not keep a record from being parked', async () => {
    const topic = await Topic.open(url)
    const parked = await topic.deadLetters()
    const { group } = await running(topic, {
      handler() {
        throw new PermanentError('poison')
      },
    })
    const forged = { [parkedHeaders.provenance]: 'forged', [parkedHeaders.signature]: 'forged' }
    await topic.send(
      { value: 'a', headers: { constructor: 'mine', toString: 'mine', many: ['1', '2'] } as never },
      { value: 'b', headers: { 'message-id': ['1', '2'] } },
      { value: 'c', headers: forged },
    )
    await until('no lag', async () => (await topic.committed(group)) === 3)
    await until('the dead letters', () => parked.length === 3)
    const reasons = parked.map(({ headers }) => headers[parkedHeaders.reason])
    expect(reasons).toEqual(['permanent', 'invalid-key', 'permanent'])
  })

  test('the largest records can be parked', async () => {
    const topic = await Topic.open(url)
    const { group, dedup } = await running(topic, {
      parkingTopic: (name) => `${name}.letters`,
      handler() {
        throw new PermanentError('poison')
      },
    })
    // Nothing can be compressed in it.
    const value = randomBytes(RECORD_MAX - 200) as unknown as string
    await topic.send({ value }, { value: 'a' })
    await until('no lag', async () => (await topic.committed(group)) === 2)
    expect(dedup.counts()).toMatchObject({ deadLettered: 2 })
  })

  test('a record that came compressed is parked compressed', async () => {
    const topic = await Topic.open(url)
    const parked = await topic.deadLetters()
    const { group } = await running(topic, {
      handler() {
        throw new PermanentError('poison')
      },
    })
    const value = 'x'.repeat(RECORD_MAX - 200)
    await topic.send({ value })
    await until('no lag', async () => (await topic.committed(group)) === 1)
    await until('the dead letter', () => parked.length === 1)
    expect(parked[0]?.value === value).toBe(true)
  })

  test('while there is no topic to park in a poison message waits, and is parked later', async () => {
    const topic = await Topic.open(url)
    const warnings: string[] = []
    const logger = { warn: (text: string): void => void warnings.push(text) }
    const { group } = await running(topic, {
      dedup: deduplicator({ logger }),
      handler(message) {
        if (textOf(message) === 'poison') throw new PermanentError('poison')
      },
    })
    await topic.deleteParking()
    await topic.send({ value: 'poison' }, { value: 'a' })
    await until('a warning', () => warnings.some((text) => text.includes('dead-letter')))
    expect(await topic.committed(group)).toBe(-1)
    await topic.makeParking(url)
    await until('no lag', async () => (await topic.committed(group)) === 2)
  })
})

describeService('kafka-4.4', { own: true }, (server) => {
  test('closed while the broker is down, it does not come back with it', { timeout: 150_000 }, async () => {
    const topic = await Topic.open(server.url, 2)
    const dedup = deduplicator()
    const seen: string[] = []
    const handler = (message: KafkaMessage): void => void seen.push(textOf(message))
    const { consumer } = await running(topic, { dedup, handler })
    await topic.send({ value: 'a' })
    await until('the first', () => seen.length === 1)
    await server.kill9()
    // Long enough for the client to give up and to begin anew.
    await delay(15_000)
    const startMs = performance.now()
    await consumer.close({ timeoutMs: 1000 })
    expect(performance.now() - startMs).toBeLessThan(5000)
    await server.start()
    await running(topic, { dedup, handler })
    await topic.send({ value: 'b', partition: 0 }, { value: 'c', partition: 1 })
    await until('those of both partitions', () => seen.length === 3, 90_000)
    expect(seen.toSorted()).toEqual(['a', 'b', 'c'])
  })
})
