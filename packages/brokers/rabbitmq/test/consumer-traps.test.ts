// What goes wrong with a managed consumer in production, each on a real server.
import { PermanentError } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import { connect, type ConsumeMessage } from 'amqplib'
import { describe, expect, onTestFinished, test } from 'vitest'
import { consume } from '../src/index.ts'
import { FlakyStore } from './flaky-store.ts'
import { proxyTo } from './proxy.ts'
import { connected, deduplicator, newQueue, quiet, readyIn, until, consuming } from './set-up.ts'

function idsOf(count: number): string[] {
  return Array.from({ length: count }, (_, position) => `m${position}`)
}

describeService('rabbitmq-4.0', ({ url }) => {
  test('close waits for what runs, acks it, and is idempotent', async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection)
    let started = 0
    let finish = (): void => undefined
    const finished = new Promise<void>((resolve) => (finish = resolve))
    const consumer = await consuming({
      connection,
      queue,
      dedup: deduplicator(),
      prefetch: 2,
      handler: async () => {
        started += 1
        await finished
      },
    })
    for (const id of idsOf(5)) await send(id)
    await until('two', () => started === 2)
    const closing = consumer.close()
    expect(consumer.close()).toBe(closing)
    await quiet(100)
    finish()
    await closing
    expect(started).toBe(2)
    expect(await readyIn(connection, queue)).toBe(3)
  })

  test('while the store is down messages are held, then the consumer pauses; nothing is lost', async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection)
    const store = new FlakyStore()
    const dedup = deduplicator({ store, sweepEveryMs: 0 })
    const seen: string[] = []
    const consumer = await consuming({
      connection,
      queue,
      dedup,
      ackTimeoutMs: 3000,
      handler: (message) => void seen.push(message.content.toString()),
    })
    await send('before')
    await until('before', () => seen.length === 1)
    store.isDown = true
    for (const id of idsOf(20)) await send(id)
    await quiet(500)
    expect(await readyIn(connection, queue)).toBe(0)
    await until('the pause', async () => (await readyIn(connection, queue)) === 20)
    await quiet()
    expect(await readyIn(connection, queue)).toBe(20)
    store.isDown = false
    await until('all', () => seen.length === 21)
    expect(new Set(seen).size).toBe(21)
    await consumer.close()
    expect(await readyIn(connection, queue)).toBe(0)
  })

  test('the queue is deleted and declared again: the consumer comes back', async () => {
    const connection = await connected(url)
    const { queue, send, channel } = await newQueue(connection)
    const seen: string[] = []
    const handler = (message: { content: Buffer }): void => void seen.push(message.content.toString())
    await consuming({ connection, queue, dedup: deduplicator(), handler })
    await send('a')
    await until('a', () => seen.length === 1)
    await channel.deleteQueue(queue)
    await quiet()
    await channel.assertQueue(queue, { durable: true })
    await send('b')
    await until('b', () => seen.length === 2)
    expect(seen).toEqual(['a', 'b'])
  })

  test('a reply is sent once for the message, and again for its duplicate with replayResult', async () => {
    const connection = await connected(url)
    const { queue, send, channel } = await newQueue(connection)
    const { queue: replyTo } = await channel.assertQueue('', { exclusive: true })
    const replies: ConsumeMessage[] = []
    await channel.consume(replyTo, (message) => void (message !== null && replies.push(message)), {
      noAck: true,
    })
    let runs = 0
    await consuming({
      connection,
      queue,
      dedup: deduplicator(),
      replayResult: true,
      handler: () => ({ run: (runs += 1) }),
    })
    await send('a', 'ask', { replyTo, correlationId: 'first' })
    await until('the reply', () => replies.length === 1)
    await send('a', 'ask', { replyTo, correlationId: 'second' })
    await until('the second reply', () => replies.length === 2)
    expect(replies.map(({ content }) => content.toString())).toEqual(['{"run":1}', '{"run":1}'])
    expect(replies.map(({ properties }) => properties.correlationId as string)).toEqual(['first', 'second'])
    await send('b', 'ask', { replyTo: 'nobody' })
    await until('b', () => runs === 2)
  })

  test('a parking queue with arguments of its own is used when they are given', async () => {
    const connection = await connected(url)
    const { queue, send, channel } = await newQueue(connection)
    const parkingArguments = { 'x-queue-type': 'quorum' }
    await channel.assertQueue(`${queue}.parked`, { durable: true, arguments: parkingArguments })
    const handler = (message: ConsumeMessage): never => {
      throw new PermanentError(message.fields.consumerTag)
    }
    await consuming({ connection, queue, dedup: deduplicator(), parkingArguments, handler })
    await send('a')
    await send('b')
    await until('both', async () => (await readyIn(connection, `${queue}.parked`)) === 2)
    expect(await readyIn(connection, queue)).toBe(0)
  })

  test('with onDeadLetter broker, a failure for good goes to the dead-letter exchange', async () => {
    const connection = await connected(url)
    const target = await newQueue(connection)
    const dlx = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': target.queue }
    const { queue, send } = await newQueue(connection, 'classic', dlx)
    const dedup = deduplicator({ attemptsMax: 2 })
    let runs = 0
    await consuming({
      connection,
      queue,
      dedup,
      onDeadLetter: 'broker',
      retry: { firstMs: 100 },
      waitQueueType: 'classic',
      handler: () => {
        runs += 1
        throw new Error('always')
      },
    })
    await send('a')
    await until('dead-lettered', async () => (await readyIn(connection, target.queue)) === 1)
    expect(runs).toBe(2)
    expect((await dedup.inspect('a', { source: queue }))?.state).toBe('free')
  })

  test('middlewares see the outcome, and may fail without losing the message', async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection)
    const steps: string[] = []
    let failures = 1
    const consumer = await consuming({
      connection,
      queue,
      dedup: deduplicator(),
      retry: { firstMs: 100 },
      waitQueueType: 'classic',
      middlewares: [
        async function outer(_message, next) {
          const outcome = await next()
          steps.push(outcome.status)
          return outcome
        },
        async function inner(_message, next) {
          if (failures-- > 0) throw new Error('inner')
          return next()
        },
      ],
      handler: () => void steps.push('handler'),
    })
    await send('a')
    await until('the handler', () => steps.length === 2)
    await send('a')
    await until('the duplicate', () => steps.length === 3)
    expect(steps).toEqual(['handler', 'completed', 'duplicate'])
    await consumer.close()
    expect(await readyIn(connection, queue)).toBe(0)
  })

  test('a consumer on a channel ends with it, and says so', async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection)
    const channel = await connection.createChannel()
    const ends: unknown[] = []
    let runs = 0
    const handler = (): void => void (runs += 1)
    await consuming({ channel, queue, dedup: deduplicator(), handler, onEnd: (error) => ends.push(error) })
    await send('a')
    await until('a', () => runs === 1)
    await channel.close()
    await until('the end', () => ends.length === 1)
    expect(ends[0]).toMatchObject({ code: 'ONCEMQ_CONSUMER_ENDED' })
    expect(await readyIn(connection, queue)).toBe(0)
  })

  test('a stream ends the consumer with a clear error', async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection, 'stream')
    const ends: unknown[] = []
    const handler = (): void => expect.unreachable('the handler ran')
    await consuming({ connection, queue, dedup: deduplicator(), handler, onEnd: (error) => ends.push(error) })
    await send('a')
    await until('the end', () => ends.length === 1)
    expect(ends[0]).toMatchObject({ code: 'ONCEMQ_CONSUMER_UNSAFE' })
  })

  test('a queue that does not exist is told at start, and nothing stays open', async () => {
    const connection = await connected(url)
    const dedup = deduplicator()
    await expect(
      consume({ connection, queue: 'no such queue', dedup, handler: () => undefined }),
    ).rejects.toThrow(/404/)
    await expect(connection.createChannel()).resolves.toBeDefined()
  })
})

describe.each(['rabbitmq-4.0', 'rabbitmq-3.10'] as const)('reconnection', (name) => {
  describeService(name, ({ url }) => {
    const forms = {
      "amqplib's recovery": async (to: string) => {
        const connection = await connect(to, { recovery: { initialDelay: 20 } })
        connection.on('error', () => undefined)
        onTestFinished(() => connection.close())
        return { connection }
      },
      'a function that connects': (to: string) => Promise.resolve({ connect: () => connect(to) }),
    }

    test.each(Object.entries(forms))(
      'a cut connection comes back by %s, and nothing runs twice',
      async (_, form) => {
        const [direct, proxy] = [await connected(url), await proxyTo(url)]
        const { queue, send } = await newQueue(direct, 'quorum')
        const runs = new Map<string, number>()
        const dedup = deduplicator()
        const consumer = await consuming({
          ...(await form(proxy.url)),
          queue,
          dedup,
          prefetch: 10,
          handler: async ({ content }) => {
            const id = content.toString()
            runs.set(id, (runs.get(id) ?? 0) + 1)
            await quiet(5)
          },
        })
        const ids = idsOf(100)
        const sending = Promise.all(ids.map((id) => send(id)))
        for (const part of [20, 50, 80]) {
          await until(`${part} runs`, () => runs.size >= part)
          proxy.cut()
        }
        await sending
        await until('all', () => runs.size === 100)
        await until('an empty queue', async () => (await readyIn(direct, queue)) === 0)
        await consumer.close()
        expect(await readyIn(direct, queue)).toBe(0)
        expect([...runs.values()].every((count) => count === 1)).toBe(true)
      },
    )
  })
})
