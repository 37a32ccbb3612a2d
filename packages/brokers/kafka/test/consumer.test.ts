import { PermanentError } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import { describe, expect, test } from 'vitest'
import type { KafkaMessage } from '../src/index.ts'
import { consume, parkedHeaders } from '../src/index.ts'
import { clientNames, deduplicator, running, Topic, until } from './set-up.ts'

const textOf = ({ value }: KafkaMessage): string => String(value)

describeService('kafka-4.4', ({ url }) => {
  describe.each(clientNames)('%s', (client) => {
    test('a redelivery is known without an id: what was not committed runs once', async () => {
      const topic = await Topic.open(url, 1, client)
      const dedup = deduplicator()
      const seen: string[] = []
      const handler = (message: KafkaMessage): void => void seen.push(textOf(message))
      await topic.send({ value: 'a' }, { value: 'b' })
      const first = await running(topic, { dedup, handler })
      await until('both', () => seen.length === 2)
      await first.consumer.close()
      // As a member that crashes before it commits leaves it.
      await topic.commit(first.group, 0n)
      await running(topic, { dedup, handler })
      await until('both to be known', () => dedup.counts().duplicate === 2)
      await until('the offset', async () => (await topic.committed(first.group)) === 2)
      expect(seen).toEqual(['a', 'b'])
    })

    test('a partition is handled in its order, and a poison message does not stop it for good', async () => {
      const topic = await Topic.open(url, 1, client)
      const letters: string[] = []
      const { group } = await running(topic, {
        dedup: deduplicator({ attemptsMax: 2 }),
        handler(message) {
          letters.push(textOf(message))
          if (textOf(message) === 'b') throw new Error('poison')
        },
      })
      const parked = await topic.deadLetters()
      await topic.send({ value: 'a' }, { value: 'b' }, { value: 'c' })
      await until('all offsets', async () => (await topic.committed(group)) === 3)
      await until('the dead letter', () => parked.length === 1)
      expect(letters).toEqual(['a', 'b', 'b', 'c'])
      expect(parked[0]?.value).toBe('b')
      expect(parked[0]?.headers).toMatchObject({
        [parkedHeaders.reason]: 'attempts',
        [parkedHeaders.attempts]: '2',
        [parkedHeaders.errorMessage]: 'poison',
        [parkedHeaders.topic]: topic.name,
        [parkedHeaders.offset]: '1',
      })
    })

    test("ordering 'key': a record that waits stops those of its key, and no commit passes it", async () => {
      const topic = await Topic.open(url, 1, client)
      const seen: string[] = []
      let isStuck = true
      const { group } = await running(topic, {
        ordering: 'key',
        dedup: deduplicator({ attemptsMax: 1000 }),
        handler(message) {
          if (isStuck && textOf(message) === 'a1') throw new Error('not yet')
          seen.push(textOf(message))
        },
      })
      await topic.send({ key: 'a', value: 'a1' }, { key: 'a', value: 'a2' }, { key: 'b', value: 'b1' })
      await until('the other key', () => seen.length === 1)
      expect(seen).toEqual(['b1'])
      expect(await topic.committed(group)).toBe(-1)
      isStuck = false
      await until('all offsets', async () => (await topic.committed(group)) === 3)
      expect(seen).toEqual(['b1', 'a1', 'a2'])
    })

    test('a replay runs as it first came, and what others write in our name is taken off', async () => {
      const topic = await Topic.open(url, 1, client)
      const parked = await topic.deadLetters()
      const seen: Record<string, unknown>[] = []
      let isBroken = true
      await running(topic, {
        handler(message) {
          seen.push({ value: textOf(message), offset: message.offset, names: Object.keys(message.headers) })
          if (isBroken) throw new PermanentError('broken')
        },
      })
      await topic.send({ value: 'a', headers: { trace: 't', [parkedHeaders.reason]: 'mine' } })
      await until('the dead letter', () => parked.length === 1)
      isBroken = false
      await topic.send(...parked)
      await until('the replay', () => seen.length === 2)
      const asItCame = { value: 'a', offset: '0', names: ['trace'] }
      expect(seen).toEqual([asItCame, asItCame])
    })

    test('tombstones and records of any size of window come through', async () => {
      const topic = await Topic.open(url, 3, client)
      const values = Array.from({ length: 3000 }, (_, index) => ({
        value: index % 7 === 0 ? null : `${index}`,
      }))
      let count = 0
      const { consumer, group } = await running(topic, { ordering: 'none', handler: () => void (count += 1) })
      for (let from = 0; from < values.length; from += 500)
        await topic.send(...values.slice(from, from + 500))
      await until('all', () => count === values.length)
      await consumer.close()
      const committed = await Promise.all([0, 1, 2].map((partition) => topic.committed(group, partition)))
      expect(committed.reduce((sum, offset) => sum + offset, 0)).toBe(values.length)
    })

    test('a handler whose partition goes to another member is told, and the other ones are not', async () => {
      const topic = await Topic.open(url, 2, client)
      const dedup = deduplicator()
      const signals = new Map<number, AbortSignal>()
      const ended = new AbortController()
      const first = await running(topic, {
        dedup,
        async handler({ partition }, { signal }) {
          signals.set(partition, signal)
          await new Promise((resolve) => ended.signal.addEventListener('abort', resolve))
        },
      })
      await topic.send({ value: 'a', partition: 0 }, { value: 'b', partition: 1 })
      await until('both handlers', () => signals.size === 2)
      const seen: string[] = []
      const beside = deduplicator({ store: dedup.settings.store, consumerGroup: first.group })
      await running(topic, { dedup: beside, handler: (message) => void seen.push(textOf(message)) })
      const aborted = (): number => [...signals.values()].filter((signal) => signal.aborted).length
      await until('one to be told', () => aborted() > 0)
      expect(aborted()).toBe(1)
      ended.abort()
      // It is finished under its claim all the same, and the other member knows it.
      await until('both offsets', async () =>
        [await topic.committed(first.group, 0), await topic.committed(first.group, 1)].every(
          (at) => at === 1,
        ),
      )
      expect(seen).toEqual([])
    })

    test('a topic that is missing is told at start', async () => {
      const topic = await Topic.open(url, 1, client)
      const options = {
        client: topic.client,
        topics: ['nowhere'],
        dedup: deduplicator(),
        handler: () => undefined,
      }
      await expect(consume(options)).rejects.toMatchObject({ code: 'ONCEMQ_CONSUMER_UNSAFE' })
    })
  })
})

describeService('kafka-3.9', ({ url }) => {
  describe.each(clientNames)('%s', (client) => {
    test('the oldest server that is tested does the same', async () => {
      const topic = await Topic.open(url, 1, client)
      const parked = await topic.deadLetters()
      const seen: string[] = []
      const { group } = await running(topic, {
        key: textOf,
        handler(message) {
          seen.push(textOf(message))
          if (textOf(message) === 'bad') throw new PermanentError('bad')
        },
      })
      await topic.send({ value: 'a' }, { value: 'bad' }, { value: 'a' }, { value: 'b' })
      await until('all offsets', async () => (await topic.committed(group)) === 4)
      await until('the dead letter', () => parked.length === 1)
      expect(seen).toEqual(['a', 'bad', 'b'])
    })
  })
})

describeService('kafka-4.4', { own: true }, (server) => {
  test('a broker that is killed and started again loses nothing', { timeout: 120_000 }, async () => {
    const seen: string[] = []
    const topics: Topic[] = []
    for (const client of clientNames) {
      const topic = await Topic.open(server.url, 1, client)
      const handler = (message: KafkaMessage): void => void seen.push(`${client} ${textOf(message)}`)
      await running(topic, { key: textOf, handler })
      topics.push(topic)
    }
    await Promise.all(topics.map((topic) => topic.send({ value: 'a' })))
    await until('the first', () => seen.length === clientNames.length)
    await server.kill9()
    await server.start()
    await Promise.all(topics.map((topic) => topic.send({ value: 'b' })))
    await until('the second', () => seen.length === 2 * clientNames.length, 60_000)
    expect(seen.toSorted()).toEqual(clientNames.flatMap((client) => [`${client} a`, `${client} b`]))
  })
})
