import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { PermanentError } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { KafkaClient, KafkaMessage } from '../src/index.ts'
import { parkedHeaders } from '../src/index.ts'
import { clientNames, deduplicator, nameOf, running, Topic, until } from './set-up.ts'

const textOf = ({ value }: KafkaMessage): string => String(value)

/** What a broker takes at most by default, all in all. */
const RECORD_MAX = 1_048_588
/** More than are held of a partition. */
const MANY = 1500

/** How often nothing is seen to be fetched. */
const QUIET_LOOKS = 10

interface PlatformaticClasses {
  readonly Consumer: new (options: object) => { fetch(options: object): Promise<unknown> }
}

/** One of two full partitions goes to another member, which leaves. Answers how many were handled. */
async function goAndComeBack(
  topic: Topic,
  consumerGroup: string,
  client: Parameters<typeof running>[1],
  isFull: () => boolean,
): Promise<number> {
  const dedup = deduplicator({ consumerGroup })
  let [count, open] = [0, (): void => undefined]
  const opened = new Promise<void>((resolve) => (open = resolve))
  const signals = new Map<number, AbortSignal>()
  const starts = [0, 0]
  for (const partition of [0, 1]) {
    await topic.send(...Array.from({ length: MANY }, (_, index) => ({ value: `${index}`, partition })))
  }
  await running(topic, {
    dedup,
    ...client,
    async handler({ partition }, { signal }) {
      signals.set(partition, signal)
      starts[partition] = (starts[partition] ?? 0) + 1
      await opened
      count += 1
    },
  })
  await until('both to be full', () => signals.size === 2 && isFull())
  const other = deduplicator({ store: dedup.settings.store, consumerGroup })
  const second = await running(topic, { dedup: other, handler: () => opened })
  const gone = (): number[] => [0, 1].filter((partition) => signals.get(partition)?.aborted)
  await until('one to have gone', () => gone().length === 1)
  const before = starts[gone()[0] ?? 0]
  await second.consumer.close({ timeoutMs: 100 })
  open()
  const offsets = (): Promise<number[]> =>
    Promise.all([0, 1].map((each) => topic.committed(consumerGroup, each)))
  await until('no lag', async () => (await offsets()).every((offset) => offset === MANY), 60_000)
  expect(starts[gone()[0] ?? 0]).toBeGreaterThan(before ?? 0)
  return count
}

describeService('kafka-4.4', ({ url }) => {
  test('a partition that was full, went and came back is fetched again', { timeout: 90_000 }, async () => {
    const topic = await Topic.open(url, 2)
    const paused: string[] = []
    const groupId = nameOf('g')
    const client = topic.kafka.consumer({ groupId, maxWaitTimeInMs: 100 })
    const pause = client.pause.bind(client)
    client.pause = (topics) => {
      for (const { partitions = [] } of topics) paused.push(...partitions.map(String))
      pause(topics)
    }
    const own = { client: undefined, consumer: client, producer: topic.kafka.producer() }
    expect(await goAndComeBack(topic, groupId, own, () => new Set(paused).size === 2)).toBe(2 * MANY)
  })

  test('a partition of platformatic likewise', { timeout: 90_000 }, async () => {
    const topic = await Topic.open(url, 2, 'platformatic')
    let [flights, looks] = [0, 0]
    const { Consumer, ...rest } = topic.client as unknown as PlatformaticClasses
    class Watched extends Consumer {
      override async fetch(options: object): Promise<unknown> {
        flights += 1
        looks = 0
        return super.fetch(options).finally(() => (flights -= 1))
      }
    }
    const client = { Consumer: Watched, ...rest } as unknown as KafkaClient
    // Nothing is fetched any more when both are full.
    const isFull = (): boolean => {
      looks = flights === 0 ? looks + 1 : 0
      return looks > QUIET_LOOKS
    }
    expect(await goAndComeBack(topic, nameOf('g'), { client }, isFull)).toBe(2 * MANY)
  })

  describe.each(clientNames)('%s', (client) => {
    test('aborted records are not handled, and the ends of transactions are passed', async () => {
      const topic = await Topic.open(url, 1, client)
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
      // All of them in one fetch.
      const late: string[] = []
      const second = await running(topic, { handler: (message) => void late.push(textOf(message)) })
      await until('no lag', async () => (await topic.committed(second.group)) === 12)
      expect(late).toEqual(['a', 'a', 'b', 'b'])
    })

    test('headers that the client mistakes do not keep a record from being parked', async () => {
      const topic = await Topic.open(url, 1, client)
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
      const topic = await Topic.open(url, 1, client)
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
      const topic = await Topic.open(url, 1, client)
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
      const topic = await Topic.open(url, 1, client)
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
})

describeService('kafka-4.4', { own: true }, (server) => {
  test('closed while the broker is down, none comes back with it', { timeout: 150_000 }, async () => {
    const seen: string[] = []
    const stays = await Promise.all(
      clientNames.map(async (client) => {
        const topic = await Topic.open(server.url, 2, client)
        const dedup = deduplicator()
        const handler = (message: KafkaMessage): void => void seen.push(`${client} ${textOf(message)}`)
        const { consumer } = await running(topic, { dedup, handler })
        await topic.send({ value: 'a' })
        return { topic, options: { dedup, handler }, consumer }
      }),
    )
    await until('the first', () => seen.length === clientNames.length)
    await server.kill9()
    // Long enough for the clients to give up and to begin anew.
    await delay(15_000)
    const startMs = performance.now()
    await Promise.all(stays.map(({ consumer }) => consumer.close({ timeoutMs: 1000 })))
    expect(performance.now() - startMs).toBeLessThan(5000)
    await server.start()
    for (const { topic, options } of stays) {
      await running(topic, options)
      await topic.send({ value: 'b', partition: 0 }, { value: 'c', partition: 1 })
    }
    await until('those of both partitions', () => seen.length === 3 * clientNames.length, 90_000)
    const all = clientNames.flatMap((client) => ['a', 'b', 'c'].map((text) => `${client} ${text}`))
    expect(seen.toSorted()).toEqual(all)
  })
})
