// The packages that people use around amqplib, as they are.
import { connect as connectFake } from '@onify/fake-amqplib'
import { describeService } from '@oncemq/test-services/vitest'
import { connect as connectManaged } from 'amqp-connection-manager'
import type { Channel, ChannelModel, Message } from 'amqplib'
import * as callbackApi from 'amqplib/callback_api'
import { BrokerAsPromised } from 'rascal'
import { describe, expect, onTestFinished, test } from 'vitest'
import { consume, dedupChannel, dedupListener } from '../src/index.ts'
import { proxyTo } from './proxy.ts'
import { answered, connected, deduplicator, newQueue, quiet, readyIn, until } from './set-up.ts'

describeService('rabbitmq-4.0', ({ url }) => {
  test('amqp-connection-manager: the channel of its setup is wrapped, and survives a cut', async () => {
    const [direct, proxy] = [await connected(url), await proxyTo(url)]
    const { queue, send } = await newQueue(direct)
    const dedup = deduplicator()
    const seen: string[] = []
    let running = 0
    const manager = connectManaged([proxy.url], { reconnectTimeInSeconds: 0.1 })
    onTestFinished(() => manager.close())
    const wrapper = manager.createChannel({
      setup: async (bare: Channel) => {
        const channel = dedupChannel(bare, dedup)
        await channel.prefetch(5)
        // oxlint-disable-next-line typescript/no-misused-promises -- users do
        await channel.consume(queue, async (message) => {
          if (message === null) return
          seen.push(message.content.toString())
          running += 1
          await quiet(20)
          running -= 1
          channel.ack(message)
        })
      },
    })
    await wrapper.waitForConnect()
    const ids = Array.from({ length: 30 }, (_, position) => `m${position}`)
    process.on('unhandledRejection', ignoreClosed)
    onTestFinished(() => void process.off('unhandledRejection', ignoreClosed))
    for (const id of [...ids, ...ids]) await send(id)
    await until('some', () => seen.length >= 10)
    proxy.cut()
    await until('all', () => new Set(seen).size === 30)
    await until('an empty queue', async () => (await readyIn(direct, queue)) === 0)
    // An ack on the channel that is then closed would throw.
    await until('no handler', () => running === 0)
    expect(seen.toSorted()).toEqual(ids.toSorted())
  })

  test('a channel of amqp-connection-manager itself is refused with the remedy', async () => {
    const manager = connectManaged([url])
    onTestFinished(() => manager.close())
    const wrapper = manager.createChannel()
    await wrapper.waitForConnect()
    expect(() => dedupChannel(wrapper, deduplicator())).toThrow(/setup function/)
  })

  test('rascal: a wrapped listener is called once per message, and fails as usual', async () => {
    const direct = await connected(url)
    const { queue, send } = await newQueue(direct)
    const config = {
      vhosts: {
        '/': {
          connection: { url },
          queues: [{ name: queue, check: false, assert: false }],
          subscriptions: { mine: { queue, prefetch: 10 } },
        },
      },
    }
    const broker = await BrokerAsPromised.create(config)
    broker.on('error', () => undefined)
    onTestFinished(() => broker.shutdown())
    const subscription = await broker.subscribe('mine')
    const dedup = deduplicator()
    const seen: string[] = []
    let failures = 1
    const listener = dedupListener<Buffer>((_message, content, ackOrNack) => {
      seen.push(content.toString())
      const error = content.toString() === 'b' && failures-- > 0 ? new Error('not yet') : undefined
      if (error === undefined) ackOrNack()
      else ackOrNack(error, { strategy: 'nack', requeue: true })
    }, dedup)
    subscription.on('message', listener)
    for (const id of ['a', 'b', 'a', 'c', 'b']) await send(id)
    // The one that was given back waits for a second, and is a duplicate of the one after it by then.
    await until('two duplicates', () => dedup.counts().duplicate === 2)
    expect(seen.toSorted()).toEqual(['a', 'b', 'b', 'c'])
    await subscription.cancel()
    expect(await readyIn(direct, queue)).toBe(0)
  })

  test("amqplib's callback API", async () => {
    const direct = await connected(url)
    const { queue, send } = await newQueue(direct)
    for (const id of ['a', 'b', 'a']) await send(id)
    const connection = await answered<callbackApi.Connection>((done) => callbackApi.connect(url, done))
    onTestFinished(() => connection.close())
    const bare = await answered<callbackApi.Channel>((done) => connection.createChannel(done))
    const channel = dedupChannel(bare, deduplicator())
    const seen: string[] = []
    await answered((done) => channel.prefetch(5, false, done))
    await answered((done) =>
      channel.consume(
        queue,
        (message) => {
          if (message === null) return
          seen.push(message.content.toString())
          expect(channel.ack(message)).toBe(channel)
        },
        {},
        done,
      ),
    )
    await until('two', () => seen.length === 2)
    await send(undefined, '')
    await until('the one without a key', () => seen.length === 3)
    const unsafe = answered((done) => channel.consume(queue, () => undefined, { noAck: true }, done))
    await expect(unsafe).rejects.toMatchObject({ code: 'ONCEMQ_CONSUMER_UNSAFE' })
    await answered((done) => channel.close((error) => done(error, undefined)))
    expect(seen).toEqual(['a', 'b', ''])
    expect(await readyIn(direct, queue)).toBe(0)
  })
})

describe('fake-amqplib', () => {
  async function fake() {
    const connection = (await connectFake(`amqp://fake${Math.random()}`)) as unknown as ChannelModel
    const channel = await connection.createConfirmChannel()
    await channel.assertQueue('q', { durable: true })
    const send = (id: string): boolean => channel.sendToQueue('q', Buffer.from(id), { messageId: id })
    return { connection, channel, send }
  }

  test('drop-in', async () => {
    const { connection, send, channel: other } = await fake()
    const channel = dedupChannel(await connection.createChannel(), deduplicator())
    const seen: Message[] = []
    await channel.prefetch(10)
    await channel.consume('q', (message) => void (message !== null && seen.push(message)))
    for (const id of ['a', 'b', 'a']) send(id)
    await until('two', () => seen.length === 2)
    for (const message of seen) channel.ack(message)
    await until('an empty queue', async () => (await other.checkQueue('q')).messageCount === 0)
    expect(seen.map(({ content }) => content.toString())).toEqual(['a', 'b'])
  })

  test('managed', async () => {
    const { connection, send, channel: other } = await fake()
    const seen: string[] = []
    const handler = (message: { content: Buffer }): void => void seen.push(message.content.toString())
    const consumer = await consume({ connection, queue: 'q', dedup: deduplicator(), handler })
    for (const id of ['a', 'b', 'a']) send(id)
    await until('an empty queue', async () => (await other.checkQueue('q')).messageCount === 0)
    await consumer.close()
    expect(seen).toEqual(['a', 'b'])
  })
})

/** What a handler's ack throws on a channel that was cut, as without us. */
function ignoreClosed(reason: unknown): void {
  if (!(reason instanceof Error) || reason.name !== 'IllegalOperationError') throw reason
}
