import { describeService } from '@oncemq/test-services/vitest'
import { describe, expect, test } from 'vitest'
import { startsAsStream } from '../src/queue-kind.ts'
import { connected, consuming, deduplicator, newQueue, readyIn, until } from './set-up.ts'
import type { Options } from './stream-shop.ts'
import { Shop } from './stream-shop.ts'

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
  const refused: readonly (readonly [Partial<Options>, RegExp])[] = [
    [{ onDeadLetter: 'broker' }, /onDeadLetter: expected 'park' for a stream/],
    [{ fromBeginning: 1 as never }, /fromBeginning: expected one of/],
    [{ consume: { arguments: { 'x-stream-offset': 1 } } }, /whose row says where to go on/],
  ]
  for (const [given, message] of refused) {
    await expect(shop.consume({ ...options, ...given })).rejects.toThrow(message)
  }
})
