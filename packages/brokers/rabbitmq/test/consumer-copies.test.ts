// Copies of messages: where they go, what they carry, and what happens when the broker does not take them.
import { PermanentError } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import type { ConsumeMessage } from 'amqplib'
import { describe, expect, test } from 'vitest'
import { sealedHeaders } from '../src/arrival.ts'
import type { AmqpMessage } from '../src/index.ts'
import { FlakyStore } from './flaky-store.ts'
import { connected, consuming, deduplicator, newQueue, quiet, readyIn, taken, until } from './set-up.ts'

/** Longer than a message waits where it is, so that copies of it wait elsewhere; see `prefetch: 1`. */
const RETRY = { firstMs: 200, factor: 1 }

describe.each(['rabbitmq-4.0', 'rabbitmq-3.10'] as const)('copies', (name) => {
  describeService(name, ({ url }) => {
    test.each(['classic', 'quorum'] as const)(
      'after a wait elsewhere the handler sees the message as it first came (%s)',
      async (type) => {
        const connection = await connected(url)
        const { queue, channel } = await newQueue(connection, type)
        const exchange = `x-${queue}`
        const death = [{ queue, reason: 'expired', count: 1, exchange: '', 'routing-keys': [queue] }]
        await channel.assertExchange(exchange, 'topic', { durable: false })
        await channel.bindQueue(queue, exchange, 'orders.#')
        const seen: Pick<ConsumeMessage, 'content' | 'fields' | 'properties'>[] = []
        const dedup = deduplicator()
        await consuming({
          connection,
          queue,
          dedup,
          prefetch: 1,
          retry: RETRY,
          waitQueueType: type,
          handler: ({ content, fields, properties }) => {
            const copy = structuredClone({ properties }).properties
            seen.push({ content: Buffer.from(content), fields: { ...fields }, properties: copy })
            if (seen.length < 4) throw new Error('not yet')
          },
        })
        const headers = { mine: 'x', CC: ['nowhere'], 'x-death': death, when: { '!': 'timestamp', value: 7 } }
        channel.publish(exchange, 'orders.new', Buffer.from('body'), {
          messageId: 'a',
          headers,
          userId: 'guest',
          expiration: '600000',
          priority: 3,
          timestamp: 1_700_000_000,
          type: 'order',
          appId: 'shop',
          correlationId: 'c',
          contentType: 'text/plain',
        })
        await until('the fourth run', () => seen.length === 4)
        await until('done', () => dedup.counts().completed === 1)
        expect(await readyIn(connection, queue)).toBe(0)
        const shown = seen.map(({ content, fields, properties }) => {
          const { 'x-delivery-count': _, ...rest } = properties.headers ?? {}
          const { exchange: from, routingKey } = fields
          return { body: content.toString(), from, routingKey, properties: { ...properties, headers: rest } }
        })
        expect(shown[0]).toMatchObject({ from: exchange, routingKey: 'orders.new', properties: { headers } })
        for (const each of shown) expect(each).toEqual(shown[0])
        await channel.deleteExchange(exchange)
      },
    )

    test('a message that an operator moved back survives its retries', async () => {
      const connection = await connected(url)
      const later = await newQueue(connection)
      const { queue, send, channel } = await newQueue(connection, 'classic', {
        'x-message-ttl': 300,
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': later.queue,
      })
      await send('a')
      // It expires, and is sent back with what the broker wrote on it.
      const dead = await taken(connection, later.queue)
      const attempts: number[] = []
      await consuming({
        connection,
        queue,
        dedup: deduplicator(),
        prefetch: 1,
        retry: RETRY,
        handler: (_, { attempt }) => {
          attempts.push(attempt)
          if (attempt < 3) throw new Error('not yet')
        },
      })
      const headers = dead.properties.headers ?? {}
      expect(headers).toHaveProperty('x-death')
      channel.sendToQueue(queue, dead.content, { headers, messageId: 'a' })
      await until('the third attempt', () => attempts.length === 3)
      expect(attempts).toEqual([1, 2, 3])
    })

    test.each([
      ['copied', 1],
      ['held', 8],
    ])('what a handler does to its message, which waits %s, reaches nobody else', async (_, prefetch) => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection, 'quorum')
      const seen: unknown[] = []
      await consuming({
        connection,
        queue,
        dedup: deduplicator({ attemptsMax: 3 }),
        prefetch,
        retry: RETRY,
        handler: ({ content, fields, properties }) => {
          const headers = (properties.headers ?? {}) as Record<string, unknown>
          const deep = JSON.stringify(headers['deep'])
          seen.push([content.toString(), fields.routingKey, properties.messageId, deep])
          content.fill(0)
          fields.routingKey = 'elsewhere'
          ;(headers['deep'] as { list: unknown[] }).list.push('more')
          Object.assign(properties, { messageId: 'other', expiration: '1', headers: { id: seen.length } })
          throw new Error('always')
        },
      })
      await send('a', 'body', { headers: { id: 0, deep: { list: [1, 'two'] } } })
      await until('parked', async () => (await readyIn(connection, `${queue}.parked`)) === 1)
      const first = ['body', queue, 'a', '{"list":[1,"two"]}']
      expect(seen).toEqual([first, first, first])
      const parked = await taken(connection, `${queue}.parked`)
      expect(parked.content.toString()).toBe('body')
      expect(parked.properties).toMatchObject({ messageId: 'a', expiration: undefined, deliveryMode: 2 })
      expect(parked.properties.headers).toMatchObject({
        id: 0,
        deep: { list: [1, 'two'] },
        'x-oncemq-reason': 'attempts',
        'x-oncemq-error': 'Error',
        'x-oncemq-error-message': 'always',
        'x-oncemq-attempts': 3,
        'x-oncemq-queue': queue,
        'x-oncemq-exchange': '',
        'x-oncemq-routing-key': queue,
      })
      const { 'x-oncemq-first-at': firstAt, 'x-oncemq-last-at': lastAt } = parked.properties.headers ?? {}
      expect(Date.parse(lastAt as string) - Date.parse(firstAt as string)).toBeGreaterThanOrEqual(400)
    })

    test('a handler that changes its delivery tag acks no other message, and its own', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection, 'quorum')
      const runs: string[] = []
      await send('a')
      await send('b')
      await send('c')
      const dedup = deduplicator()
      const consumer = await consuming<AmqpMessage>({
        connection,
        queue,
        dedup,
        prefetch: 3,
        handler: async (message) => {
          const id = message.content.toString()
          runs.push(id)
          await until('all have begun', () => runs.length >= 3)
          Object.assign(message, { fields: id === 'a' ? null : { deliveryTag: 99 } })
          if (id === 'c') await quiet()
        },
      })
      await until('all are done', () => dedup.counts().completed === 3)
      await quiet()
      await consumer.close()
      expect(runs).toEqual(['a', 'b', 'c'])
      expect(await readyIn(connection, queue)).toBe(0)
    })

    test('a parked message that is sent back runs afresh, as it first came', async () => {
      const connection = await connected(url)
      const { queue, send, channel } = await newQueue(connection)
      const seen: unknown[] = []
      let isBroken = true
      await consuming({
        connection,
        queue,
        dedup: deduplicator(),
        handler: ({ fields, properties }, { attempt }) => {
          if (isBroken) throw new PermanentError('never')
          seen.push([
            attempt,
            fields.routingKey,
            properties.expiration,
            Object.keys(properties.headers ?? {}),
          ])
        },
      })
      await send('a', 'a', { expiration: '600000', headers: { mine: 1 }, persistent: false })
      await until('parked', async () => (await readyIn(connection, `${queue}.parked`)) === 1)
      isBroken = false
      const { content, properties } = await taken(connection, `${queue}.parked`)
      expect(properties.deliveryMode).toBe(2)
      channel.sendToQueue(queue, content, properties)
      await until('a run', () => seen.length === 1)
      expect(seen).toEqual([[1, queue, '600000', ['mine']]])
    })

    test('a message that was sent on by its handler keeps its identity on a copy', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection)
      const dedup = deduplicator()
      const attempts: number[] = []
      await consuming({
        connection,
        queue,
        dedup,
        prefetch: 1,
        retry: RETRY,
        handler: ({ properties }, { attempt }) => {
          if (properties.headers?.hop !== true) return
          attempts.push(attempt)
          if (attempt < 2) throw new Error('not yet')
        },
      })
      await send('a')
      await until('the first', () => dedup.counts().completed === 1)
      const hop = { kind: 'hop', source: queue, starts: 0, firstAtMs: 0, original: { hops: 1 } } as const
      const sealed = sealedHeaders(await dedup.secret(), hop, { body: Buffer.from('a'), id: 'a' })
      await send('a', 'a', { headers: { ...sealed, hop: true } })
      await until('the hop', () => attempts.length === 2)
      expect(attempts).toEqual([1, 2])
      expect(dedup.counts().duplicate).toBe(0)
    })
  })
})

describeService('rabbitmq-4.0', ({ url }) => {
  test('a wait queue that leads nowhere is not used: told, and the message is held', async () => {
    const connection = await connected(url)
    const { queue, send, channel } = await newQueue(connection)
    await channel.assertQueue(`${queue}.retry.200`, { durable: true })
    const dedup = deduplicator()
    const warnings: string[] = []
    dedup.on('warning', ({ message }) => void warnings.push(message))
    const attempts: number[] = []
    await consuming({
      connection,
      queue,
      dedup,
      prefetch: 1,
      retry: RETRY,
      handler: (_, { attempt }) => {
        attempts.push(attempt)
        if (attempt < 3) throw new Error('not yet')
      },
    })
    await send('a')
    await until('the third attempt', () => attempts.length === 3)
    expect(attempts).toEqual([1, 2, 3])
    expect(await readyIn(connection, `${queue}.retry.200`)).toBe(0)
    expect(warnings.filter((each) => each.includes('declared with other arguments'))).toHaveLength(1)
  })

  test('a queue whose name the server made up has queues beside it', async () => {
    const connection = await connected(url)
    const channel = await connection.createConfirmChannel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const attempts: number[] = []
    await consuming({
      connection,
      queue,
      dedup: deduplicator({ attemptsMax: 3 }),
      prefetch: 1,
      retry: RETRY,
      handler: (_, { attempt }) => {
        attempts.push(attempt)
        throw new Error('always')
      },
    })
    channel.sendToQueue(queue, Buffer.from('a'), { messageId: 'a' })
    await until('parked', async () => (await readyIn(connection, `oncemq.${queue}.parked`)) === 1)
    expect(attempts).toEqual([1, 2, 3])
    // Of the type that ends when it is unused: its queue will not be there for long.
    expect(await readyIn(connection, `oncemq.${queue}.retry.200`)).toBeUndefined()
    expect(await readyIn(connection, `oncemq.${queue}.retry.200.classic`)).toBe(0)
  })

  test('what waits in a queue of one type comes back when the other type is used', async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection)
    const store = new FlakyStore()
    const done: string[] = []
    const begin = (waitQueueType: 'classic' | 'quorum', works: boolean) =>
      consuming({
        connection,
        queue,
        dedup: deduplicator({ store }),
        prefetch: 1,
        retry: { firstMs: 2000 },
        waitQueueType,
        handler: ({ content }, { attempt }) => {
          if (!works || attempt === 1) throw new Error('not yet')
          done.push(content.toString())
        },
      })
    const first = await begin('classic', false)
    await send('a')
    await until('a waits', async () => (await readyIn(connection, `${queue}.retry.2000.classic`)) === 1)
    await first.close()
    await begin('quorum', true)
    await send('b')
    await until('b waits', async () => (await readyIn(connection, `${queue}.retry.2000`)) === 1)
    await until('both', () => done.length === 2)
    expect(done).toEqual(['a', 'b'])
  })
})
