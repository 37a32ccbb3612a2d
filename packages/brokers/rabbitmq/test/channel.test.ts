import { describeService } from '@oncemq/test-services/vitest'
import type { ConsumeMessage, Message } from 'amqplib'
import { expect, test } from 'vitest'
import { contextOf, dedupChannel } from '../src/index.ts'
import { connected, deduplicator, newQueue, quiet, readyIn, until } from './set-up.ts'

for (const server of ['rabbitmq-4.0', 'rabbitmq-3.10'] as const) {
  describeService(server, ({ url }) => {
    test('a duplicate is acked and does not reach the callback', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection)
      const channel = dedupChannel(await connection.createChannel(), deduplicator())
      const seen: string[] = []
      for (const id of ['a', 'b', 'a', 'c', 'b']) await send(id)
      await channel.prefetch(10)
      await channel.consume(queue, (message) => {
        if (message === null) return
        seen.push(message.content.toString())
        channel.ack(message)
      })
      await until('three messages', () => seen.length === 3)
      await send('a')
      await quiet()
      expect(seen).toEqual(['a', 'b', 'c'])
      await channel.close()
      expect(await readyIn(connection, queue)).toBe(0)
    })

    test('a nacked message waits unacked, and is then given again as a new object', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection)
      const retry = { firstMs: 200, factor: 2 }
      const channel = dedupChannel(await connection.createChannel(), deduplicator(), { retry })
      const given: { at: number; attempt: number | undefined; message: Message }[] = []
      await channel.prefetch(10)
      await channel.consume(queue, (message) => {
        if (message === null) return
        given.push({ at: performance.now(), attempt: contextOf(message)?.attempt, message })
        if (given.length < 3) channel.nack(message)
        else channel.ack(message)
      })
      await send('a')
      await until('three attempts', () => given.length === 3)
      expect(given.map(({ attempt }) => attempt)).toEqual([1, 2, 3])
      expect(given.map(({ message }) => message.fields.redelivered)).toEqual([false, true, true])
      expect(new Set(given.map(({ message }) => message.fields.deliveryTag)).size).toBe(1)
      const [first, second, third] = given.map(({ at }) => at) as [number, number, number]
      expect(second - first).toBeGreaterThan(190)
      expect(third - second).toBeGreaterThan(390)
      await channel.close()
      expect(await readyIn(connection, queue)).toBe(0)
    })

    test('a message without a usable key is parked with its reason', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection)
      const key = (): string => {
        throw new TypeError('no')
      }
      const channel = dedupChannel(await connection.createChannel(), deduplicator(), { key })
      await channel.prefetch(10)
      await channel.consume(queue, () => expect.unreachable('the callback ran'))
      await send('a', 'body', { headers: { mine: 1 }, expiration: '60000', contentType: 'text/plain' })
      await until('a parked message', async () => (await readyIn(connection, `${queue}.parked`)) === 1)
      const raw = await connection.createChannel()
      const parked = (await raw.get(`${queue}.parked`)) as ConsumeMessage | false
      expect(parked).toMatchObject({
        content: Buffer.from('body'),
        properties: {
          messageId: 'a',
          contentType: 'text/plain',
          deliveryMode: 2,
          headers: {
            mine: 1,
            'x-oncemq-reason': 'invalid-key',
            'x-oncemq-queue': queue,
            'x-oncemq-routing-key': queue,
            'x-oncemq-attempts': 0,
            'x-oncemq-error': 'OncemqError',
          },
        },
      })
      // It would end the parked message.
      expect(parked && parked.properties.expiration).toBe(undefined)
      await channel.close()
      expect(await readyIn(connection, queue)).toBe(0)
    })
  })
}
