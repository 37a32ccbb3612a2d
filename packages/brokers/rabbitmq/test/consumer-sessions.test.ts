// Channels and connections of a managed consumer: how they come, pause, and go.
import { describeService } from '@oncemq/test-services/vitest'
import type { ChannelModel, ConsumeMessage } from 'amqplib'
import { connect } from 'amqplib'
import { expect, test } from 'vitest'
import { consume } from '../src/index.ts'
import { FlakyStore } from './flaky-store.ts'
import { proxyTo } from './proxy.ts'
import { connected, deduplicator, newQueue, quiet, readyIn, until, consuming } from './set-up.ts'

const LONG_MS = 60_000

async function consumersOf(connection: ChannelModel, queue: string): Promise<number> {
  const channel = await connection.createChannel()
  const { consumerCount } = await channel.checkQueue(queue)
  await channel.close()
  return consumerCount
}

function listenersOf(emitter: {
  eventNames(): (string | symbol)[]
  listenerCount(name: string | symbol): number
}) {
  return Object.fromEntries(emitter.eventNames().map((name) => [name, emitter.listenerCount(name)]))
}

describeService('rabbitmq-4.0', ({ url }) => {
  test('a handshake that is never answered is given up', { timeout: LONG_MS }, async () => {
    const [direct, proxy] = [await connected(url), await proxyTo(url)]
    const { queue, send } = await newQueue(direct)
    const dedup = deduplicator()
    const warnings: string[] = []
    dedup.on('warning', ({ message }) => void warnings.push(message))
    const done: string[] = []
    const handler = ({ content }: ConsumeMessage): void => void done.push(content.toString())
    await consuming({ connect: () => connect(proxy.url), queue, dedup, handler })
    await send('a')
    await until('a', () => done.length === 1)
    proxy.isSilent = true
    proxy.cut()
    await quiet(1000)
    proxy.isSilent = false
    await send('b')
    await until('b', () => done.length === 2, LONG_MS)
    expect(warnings.filter((each) => each.includes('trying again until it can'))).toHaveLength(1)
  })

  test(
    'copies that cannot be sent for want of a connection wait, and others go on',
    { timeout: LONG_MS },
    async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection)
      let [made, isAnswered] = [0, false]
      const attempts: number[] = []
      const done: string[] = []
      await consuming({
        connect: () =>
          ++made === 1 || isAnswered ? connect(url) : new Promise<ChannelModel>(() => undefined),
        queue,
        dedup: deduplicator({ attemptsMax: 2 }),
        retry: { firstMs: 100 },
        prefetch: 4,
        handler: ({ content }, { attempt }) => {
          if (content.toString() !== 'poison') return void done.push(content.toString())
          attempts.push(attempt)
          throw new Error('always')
        },
      })
      await send('p', 'poison')
      await until('both attempts', () => attempts.length === 2)
      for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) await send(id)
      await until('the others', () => done.length === 6)
      isAnswered = true
      await until('parked', async () => (await readyIn(connection, `${queue}.parked`)) === 1, LONG_MS)
      expect(attempts).toEqual([1, 2])
    },
  )

  test(
    'pauses and resumes of a store that flaps: one consumer at any time',
    { timeout: LONG_MS },
    async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection, 'quorum')
      const store = new FlakyStore()
      const done = new Set<string>()
      const consumer = await consuming({
        connection,
        queue,
        dedup: deduplicator({ store, sweepEveryMs: 0 }),
        ackTimeoutMs: 1000,
        consume: { consumerTag: `fixed-${queue}` },
        handler: ({ content }) => void done.add(content.toString()),
      })
      let isOver = false
      const watching = (async () => {
        let most = 0
        while (!isOver) most = Math.max(most, await consumersOf(connection, queue))
        return most
      })()
      for (let flap = 0; flap < 10; flap += 1) {
        store.isDown = true
        await send(`m${flap}`)
        await quiet(400 + flap * 50)
        store.isDown = false
        await quiet(flap * 20)
      }
      await until('all', () => done.size === 10, LONG_MS)
      isOver = true
      expect(await watching).toBe(1)
      await consumer.close()
      expect(await consumersOf(connection, queue)).toBe(0)
    },
  )

  test('a consumer that is closed leaves nothing on what was given to it', async () => {
    const connection = await connected(url)
    const { queue } = await newQueue(connection)
    const channel = await connection.createChannel()
    const before = [listenersOf(connection), listenersOf(channel)]
    for (const given of [{ connection }, { channel }]) {
      const consumer = await consume({ ...given, queue, dedup: deduplicator(), handler: () => undefined })
      await consumer.close()
    }
    await expect(
      consume({ connection, queue: 'no such queue', dedup: deduplicator(), handler: () => undefined }),
    ).rejects.toThrow(/404/)
    expect([listenersOf(connection), listenersOf(channel)]).toEqual(before)
  })

  test('what a closed consumer has not settled on a channel of the user is given back', async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection)
    const channel = await connection.createChannel()
    let runs = 0
    const consumer = await consuming({
      channel,
      queue,
      dedup: deduplicator(),
      prefetch: 2,
      handler: () => {
        runs += 1
        return new Promise<void>(() => undefined)
      },
    })
    await send('a')
    await send('b')
    await until('both run', () => runs === 2)
    await consumer.close({ timeoutMs: 100 })
    expect(await readyIn(connection, queue)).toBe(2)
    await expect(channel.checkQueue(queue)).resolves.toBeDefined()
  })

  test('a deduplicator that is closed first: all is given back, and told', async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection, 'quorum')
    const dedup = deduplicator()
    const ends: unknown[] = []
    await consuming({
      connection,
      queue,
      dedup,
      handler: () => undefined,
      onEnd: (error) => ends.push(error),
    })
    await dedup.close()
    for (let count = 0; count < 50; count += 1) await send(`m${count}`)
    await until('the end', () => ends.length === 1)
    expect(ends[0]).toMatchObject({ code: 'ONCEMQ_CLOSED' })
    await until('all are back', async () => (await readyIn(connection, queue)) === 50)
  })

  const steps = {
    'while it waits for a retry': { firstMs: 30_000 },
    'while its copies are made': { firstMs: 30 },
  }
  test.each(Object.entries(steps))('closed %s: nothing is lost, nothing hangs', async (_, retry) => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection, 'quorum')
    const store = new FlakyStore()
    const done = new Set<string>()
    const begin = (isLast: boolean) =>
      consuming({
        connection,
        queue,
        dedup: deduplicator({ store, attemptsMax: 1000 }),
        prefetch: 2,
        retry: isLast ? { firstMs: 10 } : { ...retry, factor: 1 },
        waitQueueType: 'classic',
        handler: ({ content }) => {
          if (!isLast) throw new Error('not yet')
          done.add(content.toString())
        },
      })
    for (let count = 0; count < 6; count += 1) await send(`m${count}`)
    for (let round = 0; round < 8; round += 1) {
      const consumer = await begin(false)
      await quiet(round * 25)
      const beganMs = performance.now()
      await consumer.close()
      expect(performance.now() - beganMs).toBeLessThan(5000)
    }
    const waiting = `${queue}.retry.${retry.firstMs}.classic`
    // What waits for half a minute is looked at there.
    const left = retry.firstMs > 1000 ? ((await readyIn(connection, waiting)) ?? 0) : 0
    await begin(true)
    await until('all', () => done.size + left >= 6)
  })

  test('the server cancels during a pause: the consumer comes back', { timeout: LONG_MS }, async () => {
    const connection = await connected(url)
    const { queue, send, channel } = await newQueue(connection)
    const store = new FlakyStore()
    const done: string[] = []
    await consuming({
      connection,
      queue,
      dedup: deduplicator({ store, sweepEveryMs: 0 }),
      ackTimeoutMs: 1000,
      handler: ({ content }) => void done.push(content.toString()),
    })
    store.isDown = true
    await send('a')
    await until('the pause', async () => (await consumersOf(connection, queue)) === 0)
    await channel.deleteQueue(queue)
    store.isDown = false
    await quiet(500)
    await channel.assertQueue(queue, { durable: true })
    await send('b')
    await until('b', () => done.includes('b'), LONG_MS)
    expect(await consumersOf(connection, queue)).toBe(1)
  })
})
