// Outages of the store, on quorum queues with the broker's default limit of returns and no dead-letter
// exchange: at its 21st return RabbitMQ 4 deletes a message.
import { describeService } from '@oncemq/test-services/vitest'
import { connect } from 'amqplib'
import { expect, test } from 'vitest'
import { consume } from '../src/index.ts'
import { FlakyStore } from './flaky-store.ts'
import { proxyTo } from './proxy.ts'
import { connected, deduplicator, newQueue, quiet, readyIn, until, consuming } from './set-up.ts'

const WORKERS = 22
const LONG_MS = 60_000

describeService('rabbitmq-4.0', ({ url }) => {
  test('many workers give back in an outage, and nothing is lost', { timeout: LONG_MS }, async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection, 'quorum')
    const store = new FlakyStore()
    const done: string[] = []
    for (let worker = 0; worker < WORKERS; worker += 1) {
      await consuming({
        connection,
        queue,
        dedup: deduplicator({ store, sweepEveryMs: 0 }),
        ackTimeoutMs: 1000,
        prefetch: 1,
        handler: ({ content }) => void done.push(content.toString()),
      })
    }
    store.isDown = true
    await send('a')
    const consumers = async (): Promise<number> => (await checked(connection, queue)).consumerCount
    await until('all workers have given it back', async () => (await consumers()) === 0, LONG_MS)
    expect((await checked(connection, queue)).messageCount).toBe(1)
    store.isDown = false
    await until('the message', () => done.length > 0)
    await until('all consumers', async () => (await consumers()) === WORKERS)
    expect(done).toEqual(['a'])
  })

  test('a store that answers probes and fails at the work loses nothing', { timeout: LONG_MS }, async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection, 'quorum')
    const store = new FlakyStore()
    const dedup = deduplicator({ store, sweepEveryMs: 0 })
    const done: string[] = []
    await consuming({
      connection,
      queue,
      dedup,
      ackTimeoutMs: 1000,
      handler: ({ content }) => void done.push(content.toString()),
    })
    await send('before')
    await until('before', () => done.length === 1)
    store.isBrownOut = true
    const ids = ['a', 'b', 'c', 'd', 'e']
    for (const id of ids) await send(id)
    await quiet(20_000)
    expect(dedup.counts().outage).toBeLessThan(15)
    store.isBrownOut = false
    await until('all', () => done.length === 6, LONG_MS)
    expect(done).toHaveLength(6)
    expect(done.toSorted()).toEqual(['before', ...ids].toSorted())
  })

  test('connections that are cut 41 times in an outage lose nothing', { timeout: LONG_MS }, async () => {
    const [direct, proxy] = [await connected(url), await proxyTo(url)]
    const { queue, send } = await newQueue(direct, 'quorum')
    const store = new FlakyStore()
    const dedup = deduplicator({ store, sweepEveryMs: 0 })
    const done: string[] = []
    const handler = ({ content }: { content: Buffer }): void => void done.push(content.toString())
    const begin = () => consume({ connect: () => connect(proxy.url), queue, dedup, handler })
    await (await begin()).close()
    store.isDown = true
    const ids = Array.from({ length: 30 }, (_, position) => `m${position}`)
    for (const id of ids) await send(id)
    for (let cut = 1; cut <= 41; cut += 1) {
      const consumer = await begin()
      await until('the messages', async () => (await checked(direct, queue)).messageCount === 0)
      // Copies of those that were returned too often have the time to be made.
      await quiet(300)
      proxy.cut()
      await consumer.close({ timeoutMs: 0 })
    }
    store.isDown = false
    const last = await begin()
    await until('all', () => new Set(done).size === ids.length, LONG_MS)
    expect(done.toSorted()).toEqual(ids.toSorted())
    await until('an empty queue', async () => (await readyIn(direct, queue)) === 0)
    await last.close()
  })

  test('a worker that starts in an outage receives nothing before the store answers', async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection, 'quorum')
    const store = new FlakyStore()
    store.isDown = true
    await send('a')
    const done: string[] = []
    const handler = ({ content }: { content: Buffer }): void => void done.push(content.toString())
    await consuming({ connection, queue, dedup: deduplicator({ store, sweepEveryMs: 0 }), handler })
    await quiet(1000)
    expect(await checked(connection, queue)).toMatchObject({ messageCount: 1, consumerCount: 0 })
    store.isDown = false
    await until('the message', () => done.length === 1)
  })

  test(
    'a cut during the pause begins no consumer before the store is back',
    { timeout: LONG_MS },
    async () => {
      const [direct, proxy] = [await connected(url), await proxyTo(url)]
      const { queue, send } = await newQueue(direct, 'quorum')
      const store = new FlakyStore()
      const done: string[] = []
      const dedup = deduplicator({ store, sweepEveryMs: 0 })
      await consuming({
        connect: () => connect(proxy.url),
        queue,
        dedup,
        ackTimeoutMs: 1000,
        handler: ({ content }) => void done.push(content.toString()),
      })
      store.isDown = true
      await send('a')
      await until('the pause', async () => (await checked(direct, queue)).consumerCount === 0)
      proxy.cut()
      for (let look = 0; look < 20; look += 1) {
        expect(await checked(direct, queue)).toMatchObject({ messageCount: 1, consumerCount: 0 })
        await quiet(100)
      }
      store.isDown = false
      await until('the message', () => done.length === 1)
      expect((await checked(direct, queue)).consumerCount).toBe(1)
    },
  )
})

async function checked(connection: Awaited<ReturnType<typeof connected>>, queue: string) {
  const channel = await connection.createChannel()
  try {
    return await channel.checkQueue(queue)
  } finally {
    await channel.close()
  }
}
