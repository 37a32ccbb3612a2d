import { createServer, type Socket } from 'node:net'

import { describeService } from '@oncemq/test-services/vitest'
import { Producer, SimpleConsumer } from 'rocketmq-client-nodejs'
import { expect, onTestFinished, test } from 'vitest'
import { stopClient, startClient, consume, dedupSimpleConsumer } from '../src/index.ts'
import { deduplicator, place, silent } from './set-up.ts'

const BOUND_MS = 8000

describeService('rocketmq-fast', ({ url }) => {
  const unknown = async (topic: string | undefined, group: string | undefined) => {
    const at = await place(url)
    return at.simple({ topic: topic ?? at.topic, group: group ?? at.group })
  }

  test('says that a consumer group does not exist', async () => {
    await expect(startClient(await unknown(undefined, 'nobody'))).rejects.toMatchObject({
      code: 'ONCEMQ_CONSUMER_UNSAFE',
      message: expect.stringContaining('group not found') as string,
    })
  })

  test('says that a topic does not exist', async () => {
    await expect(startClient(await unknown('nowhere', undefined))).rejects.toMatchObject({
      code: 'ONCEMQ_CONSUMER_UNSAFE',
      message: expect.stringContaining('create the topic') as string,
    })
  })

  test('says it from consume and from a wrapped consumer too', async () => {
    const dedup = deduplicator()
    const consuming = consume({
      consumer: await unknown(undefined, 'nobody'),
      dedup,
      handler: () => undefined,
    })
    await expect(consuming).rejects.toMatchObject({ code: 'ONCEMQ_CONSUMER_UNSAFE' })
    const wrapped = dedupSimpleConsumer(await unknown(undefined, 'nobody'), dedup)
    await expect(wrapped.startup()).rejects.toMatchObject({ code: 'ONCEMQ_CONSUMER_UNSAFE' })
  })

  test('refuses a group that reads its own dead letters, started or not', async () => {
    const at = await place(url)
    const own = { code: 'ONCEMQ_CONSUMER_UNSAFE', message: expect.stringContaining('without end') as string }
    const reader = at.simple({ topic: `%DLQ%${at.group}` })
    await expect(startClient(reader)).rejects.toMatchObject(own)
    const options = { dedup: deduplicator(), handler: () => undefined }
    await expect(consume({ consumer: reader, ...options })).rejects.toMatchObject(own)
    await expect(dedupSimpleConsumer(reader, options.dedup).startup()).rejects.toMatchObject(own)
  })

  test('starts a producer of several topics, which misses the answer that it waits for', async () => {
    const at = await place(url)
    for (let count = 0; count < 5; count += 1) {
      const producer = new Producer({ ...at.base, topics: [at.topic, `${at.topic}_parked`] })
      await startClient(producer, { timeoutMs: BOUND_MS })
      expect(producer.isRunning()).toBe(true)
      await stopClient(producer)
    }
  })
})

test('says that no server is there', async () => {
  await expect(startClient(simpleAt('127.0.0.1:1'))).rejects.toMatchObject({
    code: 'ONCEMQ_BROKER_UNAVAILABLE',
  })
})

test('says that a server does not answer, within its bound', async () => {
  const sockets = new Set<Socket>()
  const mute = createServer((socket) => sockets.add(socket))
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    mute.close()
  })
  const { port } = mute.address() as { port: number }
  await expect(startClient(simpleAt(`127.0.0.1:${port}`), { timeoutMs: 300 })).rejects.toMatchObject({
    code: 'ONCEMQ_BROKER_UNAVAILABLE',
  })
})

function simpleAt(endpoints: string): SimpleConsumer {
  const subscriptions = new Map([['t', '*']])
  return new SimpleConsumer({ endpoints, namespace: '', consumerGroup: 'g', subscriptions, logger: silent })
}
