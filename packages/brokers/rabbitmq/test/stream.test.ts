import { DatabaseSync } from 'node:sqlite'
import type { DeduplicatorOptions } from '@oncemq/core'
import { createDeduplicator, watermark } from '@oncemq/core'
import { SqliteStore } from '@oncemq/sqlite'
import { describeService } from '@oncemq/test-services/vitest'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { AmqpMessage, ConsumeOptions } from '../src/index.ts'
import { consume } from '../src/index.ts'
import { startsAsStream } from '../src/queue-kind.ts'
import { turnQueue } from '../src/stream/reader-turn.ts'
import { openProxy } from './proxy.ts'
import { connected, consuming, deduplicator, newQueue, quiet, readyIn, taken, until } from './set-up.ts'

const PART_MS = 100
/** An ack timeout of which half is over soon. */
const SHORT_ACK_MS = 1000
const SEGMENT = { 'x-stream-max-segment-size-bytes': 500_000, 'x-max-length-bytes': 1_000_000 }

const textOf = ({ content }: AmqpMessage): string => content.toString().trim()

type Options = Partial<ConsumeOptions<DatabaseSync>> & { queue: string }

/** Rows that handlers write to the store's own database, and how far its logs are. */
class Shop {
  readonly database = new DatabaseSync(':memory:')
  readonly group = `g-${Math.random().toString(36).slice(2)}`
  readonly warnings: string[] = []

  constructor() {
    this.database.exec('CREATE TABLE sales (name TEXT NOT NULL) STRICT')
    onTestFinished(() => this.database.close())
  }

  dedup(options: Partial<DeduplicatorOptions<DatabaseSync>> = {}, record = false) {
    const { group, database } = this
    const dedup = createDeduplicator({
      consumerGroup: group,
      logger: { warn: () => undefined },
      ...options,
      store: new SqliteStore({ database }),
      strategy: watermark({ record }),
    })
    dedup.on('warning', ({ message }) => this.warnings.push(message))
    onTestFinished(() => dedup.close({ timeoutMs: 100 }))
    return dedup
  }

  async consume(options: Options) {
    const consumer = await consume<DatabaseSync>({
      dedup: this.dedup(),
      handler: this.sell,
      retry: { firstMs: 50, factor: 1 },
      ...options,
    } as ConsumeOptions<DatabaseSync>)
    onTestFinished(() => consumer.close({ timeoutMs: 100 }))
    return consumer
  }

  get sales(): readonly string[] {
    return this.database
      .prepare('SELECT name FROM sales ORDER BY rowid')
      .all()
      .map((row) => String(row['name']))
  }

  get log(): Record<string, unknown> | undefined {
    return this.database.prepare('SELECT * FROM oncemq_logs').get()
  }

  readonly sell = (message: AmqpMessage, { tx }: { tx: DatabaseSync }): void => {
    tx.prepare('INSERT INTO sales (name) VALUES (?)').run(textOf(message))
  }
}

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
    if (fromBeginning) await until('both', () => shop.sales.length === 2)
    else expect(shop.log).toMatchObject({ next_offset: 2 })
    await first.close()
    await send('while nobody reads')
    await shop.consume({ connection, queue, fromBeginning })
    await until('it', () => shop.sales.includes('while nobody reads'))
    expect(shop.sales).toEqual([...(fromBeginning ? ['a', 'b'] : []), 'while nobody reads'])
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
    expect(dedups.map((dedup) => dedup.counts().completed).toSorted()).toEqual([0, 2])
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
    const { ack, consume: raw } = acking
    acking.ack = (message, allUpTo) => {
      unacked = allUpTo === true ? 0 : unacked - 1
      ack.call(acking, message, allUpTo)
    }
    acking.consume = (name, receive, options) => {
      const counted = (message: Parameters<typeof receive>[0]): void => {
        unacked += 1
        receive(message)
      }
      return raw.call(acking, name, counted, options)
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

describe.each(['rabbitmq-4.0', 'rabbitmq-3.10'] as const)('what is no stream: %s', (name) => {
  describeService(name, ({ url }) => {
    test.each(['classic', 'quorum'] as const)('%s is refused at start', async (type) => {
      const [connection, shop] = [await connected(url), new Shop()]
      for (const backlog of [0, 3]) {
        const { queue, send, channel } = await newQueue(connection, type)
        for (let sent = 0; sent < backlog; sent += 1) {
          await send(`${sent}`, 'x', { headers: { 'x-stream-offset': sent } })
        }
        await expect(shop.consume({ connection, queue })).rejects.toMatchObject({
          code: 'ONCEMQ_CONSUMER_UNSAFE',
          message: expect.stringMatching(
            /expected a stream for strategy 'watermark'.*'transactional'/,
          ) as string,
        })
        await until('all are there', async () => (await readyIn(connection, queue)) === backlog)
        await channel.consume(queue, () => undefined)
        await expect(shop.consume({ connection, queue })).rejects.toThrow(/expected a stream/)
      }
      expect(shop.sales).toEqual([])
    })

    test.each(['classic', 'quorum', 'stream'] as const)('%s is told from the others', async (type) => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection, type)
      const open = async () => (await connection.createChannel()) as never
      expect(await startsAsStream(open, queue)).toBe(type === 'stream')
      await send('a')
      await until('it is counted', async () => (await readyIn(connection, queue)) === 1)
      expect(await startsAsStream(open, queue)).toBe(type === 'stream')
    })
  })
})

describeService('rabbitmq-4.0', ({ url }) => {
  test('a queue that is missing is refused at start', async () => {
    const [connection, shop] = [await connected(url), new Shop()]
    await expect(shop.consume({ connection, queue: 'missing-stream' })).rejects.toMatchObject({
      code: 'ONCEMQ_CONSUMER_UNSAFE',
      message: expect.stringContaining("expected the queue 'missing-stream' to exist") as string,
    })
  })

  test('a stream with another strategy is refused with the remedy', async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection, 'stream')
    const ended = Promise.withResolvers<unknown>()
    const handler = (): never => expect.fail('it was handled')
    await consuming({ connection, queue, dedup: deduplicator(), handler, onEnd: ended.resolve })
    await send('a')
    expect(await ended.promise).toMatchObject({
      code: 'ONCEMQ_CONSUMER_UNSAFE',
      message: expect.stringContaining("strategy 'watermark'") as string,
    })
  })
})

test('options that do not go with a stream are refused', async () => {
  const [shop, connection] = [new Shop(), { createChannel: () => 0, createConfirmChannel: () => 0 }]
  const options = { connection: connection as never, queue: 'q' }
  const refused = (given: Partial<Options>) => expect(shop.consume({ ...options, ...given })).rejects
  await refused({ onDeadLetter: 'broker' }).toThrow(/onDeadLetter: expected 'park' for a stream/)
  await refused({ fromBeginning: 1 as never }).toThrow(/fromBeginning: expected one of/)
  await refused({ consume: { arguments: { 'x-stream-offset': 1 } } }).toThrow(/whose row says where to go on/)
})
