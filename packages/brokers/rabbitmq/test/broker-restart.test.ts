// The broker is killed with -9 and started again while messages flow: nothing is lost, nothing runs twice.
import type { Deduplicator } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import { type ChannelModel, connect } from 'amqplib'
import { expect, onTestFinished, test } from 'vitest'
import { consume, dedupChannel } from '../src/index.ts'
import { connected, deduplicator, quiet, readyIn, until } from './set-up.ts'

const KEYS = 400
const KILLS = 2
const WAIT_MS = 40_000
/** RabbitMQ may lose a quorum queue that is younger than this. */
const QUEUE_SETTLES_MS = 2000

type Handler = (id: string) => Promise<void>

const forms = {
  async managed(url: string, queue: string, dedup: Deduplicator, handler: Handler) {
    const consumer = await consume({
      connect: () => connect(url),
      queue,
      dedup,
      prefetch: 20,
      handler: ({ content }) => handler(content.toString()),
    })
    onTestFinished(() => consumer.close({ timeoutMs: 500 }))
  },

  async 'drop-in'(url: string, queue: string, dedup: Deduplicator, handler: Handler) {
    const setup = async (model: ChannelModel): Promise<void> => {
      const bare = await model.createChannel()
      bare.on('error', () => undefined)
      const channel = dedupChannel(bare, dedup)
      await channel.prefetch(20)
      await channel.consume(queue, (message) => {
        if (message === null) return
        const settle = (): void => channel.ack(message)
        void handler(message.content.toString())
          .then(settle)
          .catch(() => undefined)
      })
    }
    const connection = await connect(url, { recovery: { initialDelay: 50, setup } })
    connection.on('error', () => undefined)
    onTestFinished(() => connection.close())
  },
}

/** Sends each id until the broker has confirmed it, over any number of connections. */
async function sendAll(url: string, queue: string, ids: readonly string[]): Promise<void> {
  for (let left = [...ids]; left.length > 0;) {
    try {
      const connection = await connect(url)
      connection.on('error', () => undefined)
      const channel = await connection.createConfirmChannel()
      channel.on('error', () => undefined)
      for (const id of left) {
        channel.sendToQueue(queue, Buffer.from(id), { messageId: id, persistent: true })
        await channel.waitForConfirms()
        left = left.filter((each) => each !== id)
      }
      await connection.close()
    } catch {
      await quiet(50)
    }
  }
}

describeService('rabbitmq-4.0', { own: true }, (server) => {
  const cases = [
    ['managed', 'quorum'],
    ['drop-in', 'classic'],
  ] as const

  test.each(cases)('%s, %s queue', { timeout: 120_000 }, async (form, type) => {
    const { url } = server
    const queue = `${form}-${type}`
    await declare(url, queue, type)
    const runs = new Map<string, number>()
    await forms[form](url, queue, deduplicator(), async (id) => {
      runs.set(id, (runs.get(id) ?? 0) + 1)
      await quiet(1)
    })
    const ids = Array.from({ length: KEYS }, (_, position) => `${queue}-${position}`)
    const sending = sendAll(url, queue, [...ids, ...ids.slice(0, KEYS / 4)])
    for (let kill = 1; kill <= KILLS; kill += 1) {
      await until(`part ${kill}`, () => runs.size > (KEYS * kill) / (KILLS + 1), WAIT_MS)
      await server.kill9()
      await server.start()
    }
    await sending
    await until('all', () => runs.size === KEYS, WAIT_MS)
    const connection = await connected(url)
    await until('an empty queue', async () => (await readyIn(connection, queue)) === 0, WAIT_MS)
    expect([...runs].filter(([, count]) => count !== 1)).toEqual([])
  })
})

async function declare(url: string, queue: string, type: string): Promise<void> {
  const connection = await connected(url)
  const channel = await connection.createChannel()
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': type } })
  await quiet(QUEUE_SETTLES_MS)
  await connection.close()
}
