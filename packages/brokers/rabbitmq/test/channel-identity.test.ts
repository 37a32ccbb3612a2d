// Which messages of a wrapped channel are one event and which are not, each on a real server.
import { describeService } from '@oncemq/test-services/vitest'
import type { Channel, ChannelModel, ConfirmChannel, Message } from 'amqplib'
import { describe, expect, test } from 'vitest'
import type { KeyOf } from '../src/index.ts'
import { cloudEvents, dedupChannel, header, jsonField } from '../src/index.ts'
import { connected, deduplicator, newQueue, quiet, readyIn, until } from './set-up.ts'

/** Acks each message and keeps its body. */
async function acking(channel: Channel, queue: string): Promise<string[]> {
  const seen: string[] = []
  await channel.consume(queue, (message) => {
    if (message === null) return
    seen.push(message.content.toString())
    channel.ack(message)
  })
  return seen
}

/** A queue whose messages go to `target` after a moment, as people make them for retries by hand. */
async function delayQueue(channel: ConfirmChannel, target: string): Promise<string> {
  const queue = `${target}.by-hand`
  const back = {
    'x-message-ttl': 100,
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': target,
  }
  await channel.assertQueue(queue, { durable: true, arguments: back })
  return queue
}

async function parkedIn(connection: ChannelModel, queue: string, count: number): Promise<void> {
  await until(`${count} parked`, async () => (await readyIn(connection, `${queue}.parked`)) === count)
}

describe.each(['rabbitmq-4.0', 'rabbitmq-3.10'] as const)('identity', (name) => {
  describeService(name, ({ url }) => {
    test('two queues of one fanout on one channel: each handler gets the event', async () => {
      const connection = await connected(url)
      const [one, two] = [await newQueue(connection), await newQueue(connection)]
      const exchange = `${one.queue}-fanout`
      await one.channel.assertExchange(exchange, 'fanout', { autoDelete: true })
      for (const { queue } of [one, two]) await one.channel.bindQueue(queue, exchange, '')
      const channel = dedupChannel(await connection.createChannel(), deduplicator())
      await channel.prefetch(5)
      const seen = [await acking(channel, one.queue), await acking(channel, two.queue)]
      for (let times = 0; times < 2; times += 1)
        one.channel.publish(exchange, '', Buffer.from('event'), { messageId: 'e1' })
      await until('both', () => seen.every(({ length }) => length > 0))
      await quiet()
      expect(seen).toEqual([['event'], ['event']])
    })

    test('a consumer of the dead-letter queue gets what another rejected, and the redrive runs', async () => {
      const connection = await connected(url)
      const dead = await newQueue(connection)
      const work = await newQueue(connection, 'quorum', {
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': dead.queue,
      })
      const channel = dedupChannel(await connection.createChannel(), deduplicator())
      await channel.prefetch(5)
      const seen: string[] = []
      await channel.consume(work.queue, (message) => {
        if (message === null) return
        seen.push('work')
        if (seen.length === 1) channel.nack(message, false, false)
        else channel.ack(message)
      })
      await channel.consume(dead.queue, (message) => {
        if (message === null) return
        seen.push('dead')
        // By hand, under the same id, with all that came with it.
        channel.sendToQueue(work.queue, message.content, message.properties)
        channel.ack(message)
      })
      await work.send('a')
      await until('the redrive', () => seen.length === 3)
      await quiet()
      expect(seen).toEqual(['work', 'dead', 'work'])
    })

    const keys: [string, KeyOf | undefined, object][] = [
      ['messageId', undefined, { messageId: 'h1' }],
      ['header', header('x-id'), { headers: { 'x-id': 'h1', mine: 1 } }],
      ['jsonField', jsonField('id'), {}],
    ]
    test.each(keys)(
      'a retry by hand under the same %s runs, and its copies do not',
      async (_, key, options) => {
        const connection = await connected(url)
        const { queue, channel: plain } = await newQueue(connection)
        const delay = await delayQueue(plain, queue)
        const dedup = deduplicator()
        const channel = dedupChannel(await connection.createChannel(), dedup, key && { key })
        const hops: unknown[] = []
        const bare: Message[] = []
        const listening = await connection.createChannel()
        await channel.prefetch(5)
        await channel.consume(queue, (message) => {
          if (message === null) return
          hops.push(message.properties.headers)
          bare.push(message)
          if (hops.length < 3) channel.sendToQueue(delay, message.content, message.properties)
          channel.ack(message)
        })
        plain.sendToQueue(queue, Buffer.from('{"id":"h1"}'), options)
        await until('three', () => hops.length === 3)
        plain.sendToQueue(queue, Buffer.from('{"id":"h1"}'), options)
        await until('the duplicate', () => dedup.counts().duplicate === 1)
        await quiet()
        expect(hops.length).toBe(3)
        // Of ours the handler sees nothing.
        for (const headers of hops)
          expect(Object.keys(headers as object).filter((each) => each.startsWith('x-oncemq'))).toEqual([])
        await listening.close()
      },
    )

    test('a hop that is sent twice runs once, also when it waited, and none can be made up', async () => {
      const connection = await connected(url)
      const { queue, channel: plain } = await newQueue(connection)
      const [dedup, target] = [deduplicator(), await newQueue(connection)]
      const channel = dedupChannel(await connection.createChannel(), dedup, { retry: { firstMs: 100 } })
      await channel.prefetch(1)
      let starts = 0
      await channel.consume(queue, (message) => {
        if (message === null) return
        channel.sendToQueue(target.queue, message.content, { messageId: 'h1' })
        // The second start sends the same hop again.
        if (++starts === 1) channel.nack(message)
        else channel.ack(message)
      })
      plain.sendToQueue(queue, Buffer.from('x'), { messageId: 'h1' })
      await until('two', async () => (await readyIn(connection, target.queue)) === 2)
      const bare = await connection.createChannel()
      const hop = await bare.get(target.queue, { noAck: true })
      if (hop === false) throw new Error('no hop')
      const { headers } = hop.properties
      plain.sendToQueue(target.queue, hop.content, { messageId: 'h1', headers })
      // The signature belongs to this message alone.
      const forged = { ...headers, 'x-oncemq-hop': 7 }
      plain.sendToQueue(target.queue, Buffer.from('other'), { messageId: 'h1', headers: forged })
      plain.sendToQueue(target.queue, Buffer.from('plain'), { messageId: 'h1' })
      const later = dedupChannel(await connection.createChannel(), dedup, { retry: { firstMs: 100 } })
      await later.prefetch(1)
      const seen: string[] = []
      await later.consume(target.queue, (message) => {
        if (message === null) return
        seen.push(message.content.toString())
        // With a prefetch of one it waits at the broker, as a copy, which is the same hop.
        if (seen.length === 1) later.nack(message)
        else later.ack(message)
      })
      await until('three runs', () => seen.length === 3)
      await until('the others', () => dedup.counts().duplicate >= 2)
      await quiet()
      expect(seen.toSorted()).toEqual(['other', 'x', 'x'])
    })

    test('ids that cannot be read without loss are parked, and the others run', async () => {
      const connection = await connected(url)
      const { queue, channel: plain } = await newQueue(connection)
      const channel = dedupChannel(await connection.createChannel(), deduplicator(), { key: jsonField('id') })
      await channel.prefetch(20)
      const seen = await acking(channel, queue)
      const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1')
      const lossy = [
        latin1('{"id":"\u00e9"}'),
        latin1('{"id":"\u00e8"}'),
        Buffer.from('{"id":9007199254740993}'),
        Buffer.from('{"id":9007199254740992}'),
        Buffer.from('{"id":"undefined"}'),
        Buffer.from('{"id":"00000000-0000-0000-0000-000000000000"}'),
        Buffer.from(`{"id":"big","more":"${'x'.repeat(1_100_000)}"}`),
      ]
      for (const body of lossy) plain.sendToQueue(queue, body)
      const fine = ['{"id":"\u00e9"}', '{"id":"\u00e8"}', '\uFEFF{"id":"bom"}', '{"id":42}']
      for (const body of fine) plain.sendToQueue(queue, Buffer.from(body))
      await parkedIn(connection, queue, lossy.length)
      await until('the others', () => seen.length === fine.length)
      expect(seen.toSorted()).toEqual(fine.toSorted())
    })

    test('a message id that is not UTF-8 is parked', async () => {
      const connection = await connected(url)
      const { queue, channel: plain } = await newQueue(connection)
      const channel = dedupChannel(await connection.createChannel(), deduplicator())
      await channel.prefetch(20)
      const seen = await acking(channel, queue)
      // What amqplib makes of the bytes FF and FE, on its way in as on its way out.
      for (const byte of [0xff, 0xfe])
        plain.sendToQueue(queue, Buffer.from('x'), { messageId: Buffer.from([byte]).toString() })
      await parkedIn(connection, queue, 2)
      expect(seen).toEqual([])
    })

    test('CloudEvents are known in every form', async () => {
      const connection = await connected(url)
      const { queue, channel: plain } = await newQueue(connection)
      const dedup = deduplicator({ onMissingKey: 'reject' })
      const channel = dedupChannel(await connection.createChannel(), dedup, { key: cloudEvents() })
      await channel.prefetch(20)
      const seen = await acking(channel, queue)
      const binary = (prefix: string) => ({
        headers: { [`${prefix}source`]: '/orders', [`${prefix}id`]: '1' },
      })
      for (const prefix of ['cloudEvents:', 'cloudEvents_', 'ce-'])
        plain.sendToQueue(queue, Buffer.from('binary'), binary(prefix))
      const body = Buffer.from('{"specversion":"1.0","source":"/orders","id":"1"}')
      plain.sendToQueue(queue, body, { contentType: 'application/cloudevents+json; charset=UTF-8' })
      await until('three duplicates', () => dedup.counts().duplicate === 3)
      expect(seen).toEqual(['binary'])
    })
  })
})
