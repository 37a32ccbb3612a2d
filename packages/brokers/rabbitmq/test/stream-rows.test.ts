import { describeService } from '@oncemq/test-services/vitest'
import { expect, test } from 'vitest'
import { connected, newQueue, quiet, until } from './set-up.ts'
import { Shop, textOf } from './stream-shop.ts'

const PART_MS = 100
/** An ack timeout of which half is over soon. */
const SHORT_ACK_MS = 1000
const SEGMENT = { 'x-stream-max-segment-size-bytes': 500_000, 'x-max-length-bytes': 1_000_000 }

describeService('rabbitmq-4.0', ({ url }) => {
  test('a stream that was made anew ends the consumer, and nothing is passed over', async () => {
    const [connection, shop] = [await connected(url), new Shop()]
    const { queue, send, channel } = await newQueue(connection, 'stream')
    for (const id of ['a', 'b', 'c']) await send(id)
    const ended = Promise.withResolvers<unknown>()
    await shop.consume({ connection, queue, onEnd: ended.resolve })
    await until('all', () => shop.sales.length === 3)
    await channel.deleteQueue(queue)
    await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'stream' } })
    await send('new')
    expect(await ended.promise).toMatchObject({
      code: 'ONCEMQ_CONSUMER_UNSAFE',
      message: expect.stringContaining('from offset 3 on, received one that ends with offset 0') as string,
    })
    expect(shop.sales).toEqual(['a', 'b', 'c'])
    shop.database.exec('DELETE FROM oncemq_logs')
    await shop.consume({ connection, queue })
    await until('the new one', () => shop.sales.length === 4)
  })

  test('messages that retention has removed are told, and the stream goes on', async () => {
    const [connection, shop] = [await connected(url), new Shop()]
    const { queue, send } = await newQueue(connection, 'stream', SEGMENT)
    await send('a')
    const first = await shop.consume({ connection, queue })
    await until('a', () => shop.sales.length === 1)
    await first.close()
    const big = ' '.repeat(50_000)
    for (let position = 0; position < 60; position += 1) await send(`m${position}`, `m${position}${big}`)
    await shop.consume({ connection, queue })
    await until('the last one', () => shop.sales.includes('m59'))
    expect(shop.sales[1]).not.toBe('m0')
    expect(shop.warnings).toEqual([expect.stringMatching(/goes on with offset \d+, where 1 was expected/)])
  })

  test('what is held for long is acked, and no more is let in meanwhile', async () => {
    const [connection, shop] = [await connected(url), new Shop()]
    const { queue, send } = await newQueue(connection, 'stream')
    const names = Array.from({ length: 12 }, (_, position) => `m${position}`)
    for (const id of names) await send(id)
    const held = Promise.withResolvers<void>()
    let unacked = 0
    const acking = await connection.createChannel()
    const [ack, raw] = [acking.ack.bind(acking), acking.consume.bind(acking)]
    acking.ack = (message, allUpTo) => {
      unacked = allUpTo === true ? 0 : unacked - 1
      ack(message, allUpTo)
    }
    acking.consume = (name, receive, options) => {
      const counted = (message: Parameters<typeof receive>[0]): void => {
        unacked += 1
        receive(message)
      }
      return raw(name, counted, options)
    }
    await shop.consume({
      channel: acking,
      queue,
      prefetch: 3,
      ackTimeoutMs: SHORT_ACK_MS,
      handler: async (message, context) => {
        if (textOf(message) === 'm0') await held.promise
        shop.sell(message, context)
      },
    })
    await until('the window is full', () => unacked === 3)
    await until('all are acked', () => unacked === 0)
    await quiet(SHORT_ACK_MS)
    expect(unacked).toBe(0)
    held.resolve()
    await until('all', () => shop.sales.length === names.length)
    expect(shop.sales).toEqual(names)
  })

  test('what a producer sends again runs again, and with record once', async () => {
    for (const record of [false, true]) {
      const [connection, shop] = [await connected(url), new Shop()]
      const { queue, send } = await newQueue(connection, 'stream')
      for (const id of ['a', 'a', 'b']) await send(id)
      await shop.consume({ connection, queue, dedup: shop.dedup({}, record) })
      await until('the row', () => shop.log?.['next_offset'] === 3)
      expect(shop.sales).toEqual(record ? ['a', 'b'] : ['a', 'a', 'b'])
    }
  })

  test('a row that is behind makes the effects again, one that is ahead of a window none', async () => {
    const [connection, shop] = [await connected(url), new Shop()]
    const { queue, send } = await newQueue(connection, 'stream')
    for (const id of ['a', 'b', 'c']) await send(id)
    const first = await shop.consume({ connection, queue })
    await until('all', () => shop.sales.length === 3)
    await first.close()
    shop.database.exec(`DELETE FROM sales WHERE name <> 'a'; UPDATE oncemq_logs SET next_offset = 1`)
    await shop.consume({ connection, queue, prefetch: 1 })
    await until('all again', () => shop.sales.length === 3)
    expect(shop.sales).toEqual(['a', 'b', 'c'])
  })

  test('an offset that somebody has sent is not believed', async () => {
    const [connection, shop] = [await connected(url), new Shop()]
    const { queue, send } = await newQueue(connection, 'stream')
    for (const id of ['a', 'b']) await send(id, id, { headers: { 'x-stream-offset': 7 } })
    await shop.consume({ connection, queue })
    await until('both', () => shop.sales.length === 2)
    expect(shop.log).toMatchObject({ next_offset: 2 })
  })

  test('a consumer that is closed gives back what did not start', async () => {
    const [connection, shop] = [await connected(url), new Shop()]
    const { queue, send } = await newQueue(connection, 'stream')
    for (const id of ['a', 'b', 'c']) await send(id)
    const started = Promise.withResolvers<void>()
    const consumer = await shop.consume({
      connection,
      queue,
      handler: async (message, context) => {
        started.resolve()
        await quiet(PART_MS)
        shop.sell(message, context)
      },
    })
    await started.promise
    await consumer.close()
    expect(shop.sales).toEqual(['a'])
    expect(shop.log).toMatchObject({ next_offset: 1, is_held: 0 })
  })
})
