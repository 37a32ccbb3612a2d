import type { DatabaseSync } from 'node:sqlite'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, onTestFinished, test } from 'vitest'
import type { AmqpMessage } from '../src/index.ts'
import { turnQueue } from '../src/stream/reader-turn.ts'
import { openProxy } from './proxy.ts'
import { connected, newQueue, quiet, readyIn, taken, until } from './set-up.ts'
import type { Options } from './stream-shop.ts'
import { Shop, textOf } from './stream-shop.ts'

/** Less than any wait for the end of a stream. */
const REST_MS = 50

describeService('rabbitmq-4.0', ({ url }) => {
  test('the row says where to go on, and no record is kept', async () => {
    const [connection, shop] = [await connected(url), new Shop()]
    const { queue, send } = await newQueue(connection, 'stream')
    for (const id of ['a', 'b', 'c']) await send(id)
    const first = await shop.consume({ connection, queue })
    await until('all', () => shop.sales.length === 3)
    await first.close()
    expect(shop.log).toMatchObject({ next_offset: 3, is_held: 0 })
    const dedup = shop.dedup()
    await shop.consume({ connection, queue, dedup })
    await send('d')
    await until('the next one', () => shop.sales.length === 4)
    expect(shop.sales).toEqual(['a', 'b', 'c', 'd'])
    expect([dedup.counts().duplicate, shop.warnings]).toEqual([0, []])
    const records = shop.database.prepare('SELECT count(*) AS count FROM oncemq WHERE state <> 0').get()
    // The secret of copies, and none of a message.
    expect(records).toEqual({ count: 1 })
  })

  test('a message that fails is tried again in its place', async () => {
    const [connection, shop] = [await connected(url), new Shop()]
    const { queue, send } = await newQueue(connection, 'stream')
    const names = Array.from({ length: 20 }, (_, position) => `m${position}`)
    for (const id of names) await send(id)
    const attempts: number[] = []
    await shop.consume({
      connection,
      queue,
      handler: (message, context) => {
        shop.sell(message, context)
        if (textOf(message) !== 'm3') return
        attempts.push(context.attempt)
        if (context.attempt < 3) throw new Error('not yet')
      },
    })
    await until('all', () => shop.sales.length === names.length)
    expect(shop.sales).toEqual(names)
    expect(attempts).toEqual([1, 2, 3])
  })

  test('what was put aside is parked, passed, and does not come again', async () => {
    const [connection, shop] = [await connected(url), new Shop()]
    const { queue, send } = await newQueue(connection, 'stream')
    for (const id of ['a', 'poison', 'undefined']) await send(id)
    const options: Options = {
      connection,
      queue,
      key: ({ properties }) => (properties.messageId === 'undefined' ? 'undefined' : 'some'),
      handler: (message, context) => {
        shop.sell(message, context)
        if (textOf(message) === 'poison') throw new Error('poison')
      },
    }
    const first = await shop.consume({ ...options, dedup: shop.dedup({ attemptsMax: 2 }) })
    await until('the row', () => shop.log?.['next_offset'] === 3)
    await first.close()
    await shop.consume({ ...options, dedup: shop.dedup({ attemptsMax: 2 }) })
    await send('b')
    await until('the next one', () => shop.sales.length === 2)
    expect(shop.sales).toEqual(['a', 'b'])
    expect(await readyIn(connection, `${queue}.parked`)).toBe(2)
    const { properties, content } = await taken(connection, `${queue}.parked`)
    expect(String(content)).toBe('poison')
    expect(properties.headers).toMatchObject({ 'x-oncemq-reason': 'attempts', 'x-oncemq-attempts': 2 })
  })

  test.each([true, false])('a new group begins with fromBeginning: %s', async (fromBeginning) => {
    const [connection, shop] = [await connected(url), new Shop()]
    const { queue, send } = await newQueue(connection, 'stream')
    for (const id of ['a', 'b']) await send(id)
    const first = await shop.consume({ connection, queue, fromBeginning })
    await until('the row', () => shop.log?.['next_offset'] === 2)
    await first.close()
    await send('while nobody reads')
    await shop.consume({ connection, queue, fromBeginning })
    await until('it', () => shop.sales.includes('while nobody reads'))
    expect(shop.sales).toEqual([...(fromBeginning ? ['a', 'b'] : []), 'while nobody reads'])
  })

  test('a new group begins with what is new in a stream that never rests', async () => {
    const [connection, shop] = [await connected(url), new Shop()]
    const { queue, send } = await newQueue(connection, 'stream')
    await send('old')
    let isOver = false
    const publishing = async (): Promise<void> => {
      while (!isOver) {
        await send('new')
        await quiet(REST_MS)
      }
    }
    const published = publishing()
    onTestFinished(() => {
      isOver = true
      return published
    })
    await shop.consume({ connection, queue, fromBeginning: false })
    await until('a new one', () => shop.sales.length > 0)
    expect(new Set(shop.sales)).toEqual(new Set(['new']))
  })

  test('one worker reads, and another when it has gone: closed, or cut off', async () => {
    const [connection, shop, proxy] = [await connected(url), new Shop(), await openProxy(url)]
    onTestFinished(() => proxy.close())
    const { queue, send } = await newQueue(connection, 'stream')
    const ran: string[] = []
    const worker = async (name: string, at: string) => {
      const handler = (message: AmqpMessage, context: { tx: DatabaseSync }): void => {
        ran.push(`${name}:${textOf(message)}`)
        shop.sell(message, context)
      }
      return shop.consume({ connection: await connected(at), queue, handler })
    }
    const one = await worker('one', url)
    await worker('two', proxy.url)
    await send('a')
    await until('a', () => shop.sales.length === 1)
    await quiet()
    await one.close()
    await send('b')
    await until('b', () => shop.sales.length === 2)
    await worker('three', url)
    proxy.cut()
    await send('c')
    await until('c', () => shop.sales.length === 3)
    expect(ran).toEqual(['one:a', 'two:b', 'three:c'])
  })

  test('two consumers of one connection read by turns, two groups each for itself', async () => {
    const [connection, shop, other] = [await connected(url), new Shop(), new Shop()]
    const { queue, send } = await newQueue(connection, 'stream')
    const dedups = [shop.dedup(), shop.dedup()]
    for (const dedup of dedups) await shop.consume({ connection, queue, dedup })
    await other.consume({ connection, queue })
    for (const id of ['a', 'b']) await send(id)
    await until('both of both', () => shop.sales.length === 2 && other.sales.length === 2)
    await quiet()
    expect([shop.sales, other.sales]).toEqual([
      ['a', 'b'],
      ['a', 'b'],
    ])
    expect(dedups.map((dedup) => `${dedup.counts().completed}`).toSorted()).toEqual(['0', '2'])
  })

  test('who has lost the log writes nothing, and goes on when it has its turn again', async () => {
    const [connection, shop] = [await connected(url), new Shop()]
    const { queue, send } = await newQueue(connection, 'stream')
    for (const id of ['a', 'b']) await send(id)
    let runs = 0
    await shop.consume({
      connection,
      queue,
      dedup: shop.dedup({ attemptsMax: 1 }),
      handler: (message, context) => {
        shop.sell(message, context)
        runs += 1
        // As one does whose turn it is meanwhile.
        if (runs === 1) shop.database.exec('UPDATE oncemq_logs SET epoch = epoch + 1')
      },
    })
    await until('both', () => shop.sales.length === 2)
    expect(shop.sales).toEqual(['a', 'b'])
    expect(runs).toBe(3)
  })

  test("the signal of a handler whose stream is another worker's aborts", async () => {
    const [connection, shop, proxy] = [await connected(url), new Shop(), await openProxy(url)]
    onTestFinished(() => proxy.close())
    const { queue, send } = await newQueue(connection, 'stream')
    const [started, aborted] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    await shop.consume({
      connection: await connected(proxy.url),
      queue,
      handler: async (_message, { signal }) => {
        signal.addEventListener('abort', () => aborted.resolve())
        started.resolve()
        await aborted.promise
        throw new Error('told to stop')
      },
    })
    await send('a')
    await started.promise
    proxy.cut()
    await aborted.promise
    await shop.consume({ connection, queue })
    await until('a', () => shop.sales.length === 1)
    expect(shop.sales).toEqual(['a'])
  })

  test('whose turn queue is deleted ends its session, and waits for its turn', async () => {
    const [connection, shop] = [await connected(url), new Shop()]
    const { queue, send, channel } = await newQueue(connection, 'stream')
    const consumer = await shop.consume({ connection, queue })
    await send('a')
    await until('a', () => shop.sales.length === 1)
    await channel.deleteQueue(turnQueue(queue, shop.group))
    await until('the end of the session', () => !consumer.health().isReceiving)
    await until('the next one', () => consumer.health().isReceiving)
    await send('b')
    await until('b', () => shop.sales.length === 2)
    expect(shop.sales).toEqual(['a', 'b'])
  })
})

describeService('rabbitmq-3.10', ({ url }) => {
  test('a stream of the oldest server goes on from its row, and one worker reads it', async () => {
    const [connection, shop] = [await connected(url), new Shop()]
    const { queue, send } = await newQueue(connection, 'stream')
    await send('a')
    const first = await shop.consume({ connection, queue })
    await until('a', () => shop.sales.length === 1)
    await shop.consume({ connection: await connected(url), queue })
    await first.close()
    await send('b')
    await until('b', () => shop.sales.length === 2)
    expect(shop.sales).toEqual(['a', 'b'])
  })
})
