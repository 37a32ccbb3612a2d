// Workers that are killed again and again during an outage of the store, as by a probe of their health: each
// start gets messages from the broker, and each end returns them. From a quorum queue without a dead-letter
// exchange a message is deleted at its 21st return.
import type { Deduplicator } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import { connect } from 'amqplib'
import { BrokerAsPromised } from 'rascal'
import { expect, onTestFinished, test } from 'vitest'
import { dedupChannel, dedupListener } from '../src/index.ts'
import { FlakyStore } from './flaky-store.ts'
import { proxyTo } from './proxy.ts'
import { connected, deduplicator, newQueue, quiet, readyIn, until } from './set-up.ts'

const RESTARTS = 24
const LIFE_MS = 200
const ids = ['a', 'b', 'c']

interface Worker {
  readonly dedup: Deduplicator
  readonly url: string
  readonly queue: string
  readonly onMessage: (text: string) => void
}

/** Begins to consume. */
type Form = (worker: Worker) => Promise<void>

const wrapped: Form = async ({ dedup, url, queue, onMessage }) => {
  const connection = await connect(url)
  connection.on('error', () => undefined)
  const channel = dedupChannel(await connection.createChannel(), dedup)
  await channel.prefetch(10)
  const consuming = channel.consume(queue, (message) => {
    if (message === null) return
    onMessage(message.content.toString())
    channel.ack(message)
  })
  consuming.catch(() => undefined)
}

const byRascal: Form = async ({ dedup, url, queue, onMessage }) => {
  const broker = await BrokerAsPromised.create({
    vhosts: {
      '/': {
        connection: { url },
        queues: [{ name: queue, check: false, assert: false }],
        subscriptions: { mine: { queue, prefetch: 10 } },
      },
    },
  })
  broker.on('error', () => undefined)
  onTestFinished(() => broker.shutdown())
  const subscription = await broker.subscribe('mine')
  subscription.on('error', () => undefined)
  subscription.on(
    'message',
    dedupListener<Buffer>((_, content, ackOrNack) => {
      onMessage(content.toString())
      ackOrNack()
    }, dedup),
  )
}

describeService('rabbitmq-4.0', ({ url }) => {
  const forms: [string, Form][] = [
    ['a wrapped channel', wrapped],
    ['rascal', byRascal],
  ]
  test.each(forms)('%s loses nothing', { timeout: 60_000 }, async (_, form) => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection, 'quorum')
    for (const id of ids) await send(id)
    const seen: string[] = []
    const onMessage = (text: string): void => void seen.push(text)
    for (let restart = 0; restart < RESTARTS; restart += 1) {
      const store = new FlakyStore()
      store.isDown = true
      const proxy = await proxyTo(url)
      await form({ url: proxy.url, queue, onMessage, dedup: deduplicator({ store }) })
      await quiet(LIFE_MS)
      proxy.close()
    }
    expect(seen).toEqual([])
    await form({ url, queue, onMessage, dedup: deduplicator() })
    await until('all have run', () => seen.length >= ids.length)
    expect(seen.toSorted()).toEqual(ids)
    await until('an empty queue', async () => (await readyIn(connection, queue)) === 0)
  })
})
