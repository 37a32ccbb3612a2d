import { watermark } from '@oncemq/core'
import { LogShop } from '@oncemq/test-brokers'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, test } from 'vitest'
import type { KafkaMessage } from '../src/index.ts'
import { dedupEachMessage } from '../src/index.ts'
import { clientOf, deduplicator, running, Topic, until } from './set-up.ts'

const textOf = ({ value }: KafkaMessage): string => String(value)

class Shop extends LogShop<KafkaMessage> {
  constructor() {
    super(textOf)
  }

  get records(): number {
    return Number(
      this.database.prepare('SELECT count(*) AS count FROM oncemq WHERE state <> 0').get()?.['count'],
    )
  }
}

describeService('kafka-4.4', ({ url }) => {
  test('the row says where to go on, whatever offset the group has, and no record is kept', async () => {
    const [topic, shop] = [await Topic.open(url), new Shop()]
    await topic.send({ value: 'a' }, { value: 'b' }, { value: 'c' })
    const dedup = shop.dedup()
    const first = await running(topic, { dedup: dedup as never, handler: shop.sell as never })
    await until('all', () => shop.sales.length === 3)
    await until('the offset', async () => (await topic.committed(shop.group)) === 3)
    await first.consumer.close()
    expect(shop.log).toMatchObject({ next_offset: 3, is_held: 0 })
    expect(shop.records).toBe(0)
    for (const offset of [0n, 2n]) {
      await topic.commit(shop.group, offset)
      const again = shop.dedup()
      const { consumer } = await running(topic, { dedup: again as never, handler: shop.sell as never })
      const done = Number(shop.log?.['next_offset'])
      // Before anything new is done, so that nobody takes what is done for what is left.
      await until('the offset of the row', async () => (await topic.committed(shop.group)) === done)
      await topic.send({ value: `after ${offset}` })
      await until('the next one', () => shop.sales.includes(`after ${offset}`))
      expect(again.counts().duplicate).toBe(0)
      await consumer.close()
    }
    expect(shop.sales).toEqual(['a', 'b', 'c', 'after 0', 'after 2'])
    // A database that was set back has lost the effects: they are made again.
    shop.database.exec(`DELETE FROM sales WHERE name <> 'a'; UPDATE oncemq_logs SET next_offset = 1`)
    await running(topic, { dedup: shop.dedup() as never, handler: shop.sell as never })
    await until('all again', () => shop.sales.length === 5)
    expect(shop.sales).toEqual(['a', 'b', 'c', 'after 0', 'after 2'])
  })

  test('without a row the offset of the group decides, with one that was removed too', async () => {
    const [topic, shop] = [await Topic.open(url), new Shop()]
    await topic.send({ value: 'a' }, { value: 'b' })
    await topic.commit(shop.group, 1n)
    const { consumer } = await running(topic, { dedup: shop.dedup() as never, handler: shop.sell as never })
    await until('the second', () => shop.sales.length === 1)
    await consumer.close()
    shop.database.exec('DELETE FROM oncemq_logs')
    await topic.commit(shop.group, 0n)
    await running(topic, { dedup: shop.dedup() as never, handler: shop.sell as never })
    await until('both again', () => shop.sales.length === 3)
    expect(shop.sales).toEqual(['b', 'a', 'b'])
  })

  test('what was put aside is passed, and does not come again', async () => {
    const [topic, shop] = [await Topic.open(url), new Shop()]
    const letters = await topic.deadLetters()
    await topic.send({ value: 'a' }, { value: 'poison' })
    const handler = (message: KafkaMessage, context: { tx: unknown }): void => {
      shop.sell(message, context)
      if (textOf(message) === 'poison') throw new Error('poison')
    }
    const options = { handler: handler as never }
    const first = await running(topic, { ...options, dedup: shop.dedup({ attemptsMax: 2 }) as never })
    await until('the dead letter', () => letters.length === 1)
    await first.consumer.close()
    expect(shop.log).toMatchObject({ next_offset: 2 })
    await topic.commit(shop.group, 0n)
    await running(topic, { ...options, dedup: shop.dedup({ attemptsMax: 2 }) as never })
    await topic.send({ value: 'b' })
    await until('the next one', () => shop.sales.length === 2)
    expect(shop.sales).toEqual(['a', 'b'])
    expect(letters).toHaveLength(1)
  })

  test('a key that cannot be used puts a record aside, and the row passes it with the offset', async () => {
    const [topic, shop] = [await Topic.open(url), new Shop()]
    const letters = await topic.deadLetters()
    await topic.send({ value: 'a', headers: { 'oncemq-id': 'undefined' } })
    const key = (): string => 'undefined'
    const dedup = shop.dedup() as never
    const { consumer } = await running(topic, { dedup, key, handler: shop.sell as never })
    await until('the dead letter', () => letters.length === 1)
    await until('the offset', async () => (await topic.committed(shop.group)) === 1)
    expect(shop.log).toMatchObject({ next_offset: 1 })
    await consumer.close()
  })

  test('another worker takes the log away: what runs is rolled back, and runs again', async () => {
    const [topic, shop] = [await Topic.open(url), new Shop()]
    let runs = 0
    const handler = (message: KafkaMessage, context: { tx: unknown }): void => {
      shop.sell(message, context)
      runs += 1
      // As one does who was given the partition meanwhile.
      if (runs === 1) shop.database.exec('UPDATE oncemq_logs SET epoch = epoch + 1')
    }
    await topic.send({ value: 'a' }, { value: 'b' })
    const dedup = shop.dedup({ attemptsMax: 1 })
    await running(topic, { dedup: dedup as never, handler: handler as never })
    await until('both', () => shop.sales.length === 2)
    expect(shop.sales).toEqual(['a', 'b'])
    expect(runs).toBe(3)
    await until('the offset', async () => (await topic.committed(shop.group)) === 2)
  })

  test('a topic that was made anew ends the consumer, and nothing is passed over', async () => {
    const [topic, shop] = [await Topic.open(url), new Shop()]
    await topic.send({ value: 'a' })
    const { consumer } = await running(topic, { dedup: shop.dedup() as never, handler: shop.sell as never })
    await until('the first', () => shop.sales.length === 1)
    await consumer.close()
    shop.database.exec('UPDATE oncemq_logs SET next_offset = 1000')
    const ended = Promise.withResolvers<unknown>()
    const dedup = shop.dedup() as never
    await running(topic, { dedup, handler: shop.sell as never, onEnd: ended.resolve })
    expect(await ended.promise).toMatchObject({ code: 'ONCEMQ_CONSUMER_UNSAFE' })
    expect(shop.sales).toEqual(['a'])
  })

  test('what a producer sends again runs again, and with record once', async () => {
    for (const record of [false, true]) {
      const [topic, shop] = [await Topic.open(url), new Shop()]
      const one = { value: 'a', headers: { 'oncemq-id': 'one' } }
      await topic.send(one, one, { value: 'b' })
      const key = ({ offset, headers }: KafkaMessage): string => String(headers['oncemq-id'] ?? offset)
      const dedup = shop.dedup({}, record) as never
      await running(topic, { dedup, key, handler: shop.sell as never })
      await until('the last', () => shop.sales.includes('b'))
      await until('the offset', async () => (await topic.committed(shop.group)) === 3)
      expect(shop.sales).toEqual(record ? ['a', 'b'] : ['a', 'a', 'b'])
      expect(shop.log).toMatchObject({ next_offset: 3 })
    }
  })

  test('topics with names of any kind have their own logs', async () => {
    const shop = new Shop()
    const topics = await Promise.all(
      ['.1', '.11', '-1.1', '_'].map((end) => Topic.open(url, 2, 'kafkajs', end)),
    )
    for (const topic of topics) await topic.send({ value: topic.name, partition: 1 })
    const names = topics.map(({ name }) => name)
    const [first] = topics as [Topic]
    await running(first, { topics: names, dedup: shop.dedup() as never, handler: shop.sell as never })
    await until('all', () => shop.sales.length === names.length)
    expect(shop.sales.toSorted()).toEqual(names.toSorted())
  })
})

describeService('kafka-3.9', ({ url }) => {
  test.each(['kafkajs', 'platformatic'] as const)('a partition goes on from its row: %s', async (client) => {
    const [topic, shop] = [await Topic.open(url, 1, client), new Shop()]
    await topic.send({ value: 'a' })
    const first = await running(topic, { dedup: shop.dedup() as never, handler: shop.sell as never })
    await until('the first', () => shop.sales.length === 1)
    await first.consumer.close()
    await topic.commit(shop.group, 0n)
    await running(topic, { dedup: shop.dedup() as never, handler: shop.sell as never })
    await topic.send({ value: 'b' })
    await until('the next one', () => shop.sales.length === 2)
    expect(shop.sales).toEqual(['a', 'b'])
  })
})

test('what has no order of one partition is refused at start', async () => {
  const [shop, client] = [new Shop(), clientOf('kafka://127.0.0.1:1')]
  const options = { dedup: shop.dedup() as never, handler: shop.sell as never }
  for (const ordering of ['key', 'none'] as const) {
    const consuming = running({ kafka: client, client, name: 't' } as unknown as Topic, {
      ...options,
      ordering,
    })
    await expect(consuming).rejects.toThrow(/ordering: expected 'partition' with strategy 'watermark'/)
  }
  const producer = client.producer()
  expect(() => dedupEachMessage(() => undefined, options.dedup, { producer })).toThrow(/watermark/)
  await expect(shop.dedup().run('key', async () => 1)).rejects.toThrow(/watermark/)
  expect(() => deduplicator({ strategy: watermark() as never })).toThrow(/expected a store with transactions/)
})
