// What goes wrong with channels in production, each on a real server; see also the differential test.
import { type ClaimOutcome } from '@oncemq/core/broker'
import { MemoryStore } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import type { Channel, ConsumeMessage, Message } from 'amqplib'
import { describe, expect, test } from 'vitest'
import { contextOf, dedupChannel } from '../src/index.ts'
import { proxyTo } from './proxy.ts'
import { connected, deduplicator, newQueue, quiet, readyIn, until } from './set-up.ts'

/** Consumes and keeps what arrives, unsettled. */
async function collecting(channel: Channel, queue: string): Promise<ConsumeMessage[]> {
  const messages: ConsumeMessage[] = []
  await channel.prefetch(50)
  await channel.consume(queue, (message) => void (message !== null && messages.push(message)))
  return messages
}

describe.each(['rabbitmq-4.0', 'rabbitmq-3.10'] as const)('channel traps', (name) => {
  describeService(name, ({ url }) => {
    test('a message acked twice is acked once, and the channel stays open', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection)
      const dedup = deduplicator()
      const warnings: string[] = []
      dedup.on('warning', ({ message }) => warnings.push(message))
      const channel = dedupChannel(await connection.createChannel(), dedup)
      const messages = await collecting(channel, queue)
      await send('a')
      await send('b')
      await until('two', () => messages.length === 2)
      channel.ack(messages[0] as Message)
      channel.ack(messages[0] as Message)
      await until('done', async () => (await dedup.inspect('a', { source: queue }))?.state === 'done')
      channel.ack(messages[0] as Message)
      channel.nack(messages[0] as Message)
      await quiet(100)
      channel.ack(messages[1] as Message)
      await channel.close()
      expect(await readyIn(connection, queue)).toBe(0)
      expect(warnings.filter((each) => each.includes('settled before'))).toHaveLength(3)
    })

    test("a dead channel's message is never acked on a later one", async () => {
      const connection = await connected(url)
      const dedup = deduplicator()
      const [mine, strangers] = [await newQueue(connection), await newQueue(connection)]
      await mine.send('mine')
      const first = dedupChannel(await connection.createChannel(), dedup)
      const old = await collecting(first, mine.queue)
      await until('mine', () => old.length === 1)
      await first.close()
      await strangers.send('stranger')
      const second = dedupChannel(await connection.createChannel(), dedup)
      const later = await collecting(second, strangers.queue)
      await until('the stranger', () => later.length === 1)
      expect(later[0]?.fields.deliveryTag).toBe(old[0]?.fields.deliveryTag)
      second.ack(old[0] as Message)
      await until(
        'mine is done',
        async () => (await dedup.inspect('mine', { source: mine.queue }))?.state === 'done',
      )
      await second.close()
      expect(await readyIn(connection, strangers.queue)).toBe(1)
      expect(await readyIn(connection, mine.queue)).toBe(1)
    })

    test('a callback that throws frees its key: the redelivery runs', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection)
      const dedup = deduplicator()
      await send('a')
      const first = dedupChannel(await connection.createChannel(), dedup)
      const errors: Error[] = []
      first.on('error', (error: Error) => errors.push(error))
      await first.prefetch(1)
      await first.consume(queue, () => {
        throw new RangeError('mine')
      })
      await until('the error', () => errors.length === 1)
      const second = dedupChannel(await connection.createChannel(), dedup)
      const messages = await collecting(second, queue)
      await until('the redelivery', () => messages.length === 1)
      expect(contextOf(messages[0] as Message)).toMatchObject({ key: 'a', attempt: 2, epoch: 2 })
    })

    test('a handler that outlives its connection completes its key', async () => {
      const [direct, proxy] = [await connected(url), await proxyTo(url)]
      const { queue, send } = await newQueue(direct)
      const dedup = deduplicator()
      const cut = await connected(proxy.url)
      const first = dedupChannel(await cut.createChannel(), dedup)
      const messages = await collecting(first, queue)
      const closed = new Promise((resolve) => first.on('close', () => resolve(undefined)))
      await send('a')
      await until('the message', () => messages.length === 1)
      proxy.cut()
      await closed
      expect(() => first.ack(messages[0] as Message)).toThrow(/closed/)
      const second = dedupChannel(await direct.createChannel(), dedup)
      const again = await collecting(second, queue)
      await quiet()
      await second.close()
      expect(again).toEqual([])
      expect(dedup.counts()).toMatchObject({ completed: 1, duplicate: 1 })
      expect(await readyIn(direct, queue)).toBe(0)
    })

    test('what nobody settles on a closed channel is free again after a lease', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection)
      const dedup = deduplicator({ leaseMs: 400 })
      await send('a')
      const first = dedupChannel(await connection.createChannel(), dedup)
      const abandoned = await collecting(first, queue)
      await until('the message', () => abandoned.length === 1)
      await first.close()
      const second = dedupChannel(await connection.createChannel(), dedup)
      const messages = await collecting(second, queue)
      await until('the redelivery', () => messages.length === 1)
      expect(contextOf(messages[0] as Message)?.attempt).toBe(2)
    })
  })
})

describeService('rabbitmq-4.0', ({ url }) => {
  test('ackAll and allUpTo leave alone what is held', async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection)
    const store = new MemoryStore()
    const elsewhere = deduplicator({ store })
    const held: ClaimOutcome = await elsewhere.claim({ key: 'held', source: queue })
    expect(held.status).toBe('granted')
    const channel = dedupChannel(await connection.createChannel(), deduplicator({ store }))
    const messages = await collecting(channel, queue)
    for (const id of ['held', 'a', 'b']) await send(id)
    await until('two', () => messages.length === 2)
    channel.ack(messages[0] as Message, true)
    channel.ackAll()
    await quiet()
    expect(messages.map(({ content }) => content.toString())).toEqual(['a', 'b'])
    await channel.close()
    expect(await readyIn(connection, queue)).toBe(1)
  })

  test('what is busy elsewhere for too long waits in the broker and comes back', async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection)
    const store = new MemoryStore()
    const elsewhere = deduplicator({ store, leaseMs: 1000 })
    const held = await elsewhere.claim({ key: 'a', source: queue })
    const dedup = deduplicator({ store, busyTimeoutMs: 50 })
    let copies = 0
    const bare = await connection.createChannel()
    bare.on('delivery', ({ properties }: ConsumeMessage) => {
      if (properties.headers?.['x-oncemq-retry'] === 'busy') copies += 1
    })
    const channel = dedupChannel(bare, dedup, { waitQueueType: 'classic' })
    const messages: ConsumeMessage[] = []
    // With one place there is none to wait in.
    await channel.prefetch(1)
    await channel.consume(queue, (message) => void (message !== null && messages.push(message)))
    await send('a')
    await until('busy, and back', () => copies > 0)
    if (held.status === 'granted') await held.claim.release('failed')
    await until('its turn', () => messages.length === 1)
    // It is given as it first came.
    expect(messages[0]?.properties.headers).toEqual({})
    expect(messages[0]?.fields).toMatchObject({ exchange: '', routingKey: queue, redelivered: false })
    channel.ack(messages[0] as Message)
    await channel.close()
    expect(await readyIn(connection, queue)).toBe(0)
  })

  test('no name for a queue that the bare channel has declared is refused, and nothing is lost', async () => {
    const connection = await connected(url)
    const bare = await connection.createChannel()
    const { queue } = await bare.assertQueue('', { exclusive: true })
    bare.sendToQueue(queue, Buffer.from('a'), { messageId: 'a' })
    await until('it', async () => (await readyIn(connection, queue)) === 1)
    const channel = dedupChannel(bare, deduplicator())
    const unsafe = { code: 'ONCEMQ_CONSUMER_UNSAFE' }
    await expect(channel.consume('', () => undefined)).rejects.toMatchObject(unsafe)
    await expect(channel.get('')).rejects.toMatchObject(unsafe)
    await until('it is back', async () => {
      const { messageCount, consumerCount } = await bare.checkQueue(queue)
      return messageCount === 1 && consumerCount === 0
    })
  })

  test('a copy that comes through a dead-letter exchange with redelivered=false is a duplicate', async () => {
    const connection = await connected(url)
    const target = await newQueue(connection)
    const back = {
      'x-message-ttl': 100,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': target.queue,
    }
    const source = await newQueue(connection, 'classic', back)
    const dedup = deduplicator()
    const bare = await connection.createChannel()
    const channel = dedupChannel(bare, dedup)
    const redelivered: boolean[] = []
    bare.on('delivery', ({ fields }: ConsumeMessage) => redelivered.push(fields.redelivered))
    await channel.prefetch(10)
    await channel.consume(target.queue, (message) => void (message !== null && channel.ack(message)))
    await target.send('a')
    await source.send('a')
    await until('both', () => redelivered.length === 2)
    await until('the duplicate', () => dedup.counts().duplicate === 1)
    expect(redelivered).toEqual([false, false])
    expect(dedup.counts().granted).toBe(1)
  })

  test('a poisonous message is parked when its attempts are used up, on a classic queue too', async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection)
    const channel = dedupChannel(await connection.createChannel(), deduplicator({ attemptsMax: 3 }))
    let times = 0
    await channel.prefetch(1)
    await channel.consume(queue, (message) => {
      times += 1
      if (message !== null) channel.nack(message)
    })
    await send('a')
    await until('parked', async () => (await readyIn(connection, `${queue}.parked`)) === 1)
    expect(times).toBe(3)
    const record = await connection.createChannel()
    const parked = await record.get(`${queue}.parked`)
    expect(parked && parked.properties.headers).toMatchObject({ 'x-oncemq-reason': 'attempts' })
  })

  test('a message stays in its queue until the parking queue has taken it', async () => {
    const connection = await connected(url)
    const { queue, send, channel: other } = await newQueue(connection)
    const parking = `${queue}.parked`
    const full = { 'x-max-length': 1, 'x-overflow': 'reject-publish' }
    await other.assertQueue(parking, { durable: true, arguments: full })
    other.sendToQueue(parking, Buffer.from('in the way'))
    await other.waitForConfirms()
    const dedup = deduplicator({ onMissingKey: 'reject' })
    const warnings: string[] = []
    dedup.on('warning', ({ message }) => warnings.push(message))
    const channel = dedupChannel(await connection.createChannel(), dedup)
    await channel.prefetch(10)
    await channel.consume(queue, () => expect.unreachable('the callback ran'))
    await send(undefined, 'parked')
    await until('its copy is refused', () => warnings.some((each) => each.startsWith('dead-letter')))
    await other.deleteQueue(parking)
    await until('it is parked', async () => (await readyIn(connection, parking)) === 1)
    await until('its ack', () => dedup.counts().deadLettered === 1)
    await channel.close()
    expect(await readyIn(connection, queue)).toBe(0)
    const left = await (await connection.createChannel()).get(parking)
    expect(left && left.content.toString()).toBe('parked')
  })

  test('messages are held, and told, while the parking queue exists with other arguments', async () => {
    const connection = await connected(url)
    const { queue, send, channel: other } = await newQueue(connection)
    const parking = `${queue}.parked`
    await other.assertQueue(parking, { durable: true, arguments: { 'x-max-length': 100 } })
    const dedup = deduplicator({ onMissingKey: 'reject' })
    const warnings: string[] = []
    dedup.on('warning', ({ message }) => warnings.push(message))
    const channel = dedupChannel(await connection.createChannel(), dedup)
    await channel.prefetch(10)
    await Promise.all(['a', 'b', 'c'].map((body) => send(undefined, body)))
    await channel.consume(queue, () => expect.unreachable('the callback ran'))
    await until('told', () => warnings.some((each) => each.includes('declared with other')))
    expect(await readyIn(connection, parking)).toBe(0)
    await other.deleteQueue(parking)
    await until('all are parked', async () => (await readyIn(connection, parking)) === 3)
    await until('their acks', () => dedup.counts().deadLettered === 3)
    await channel.close()
    expect(await readyIn(connection, queue)).toBe(0)
  })

  test('a consumer without acks, a transactional one, and a stream are refused', async () => {
    const connection = await connected(url)
    const { queue } = await newQueue(connection)
    const channel = dedupChannel(await connection.createChannel(), deduplicator())
    const unsafe: unknown = expect.objectContaining({ code: 'ONCEMQ_CONSUMER_UNSAFE' })
    await expect(channel.consume(queue, () => undefined, { noAck: true })).rejects.toEqual(unsafe)
    await expect(channel.get(queue, { noAck: true })).rejects.toEqual(unsafe)
    const offset = { arguments: { 'x-stream-offset': 'first' } }
    await expect(channel.consume(queue, () => undefined, offset)).rejects.toEqual(unsafe)
  })

  test('a stream that is consumed all the same closes the channel with a clear error', async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection, 'stream')
    const channel = dedupChannel(await connection.createChannel(), deduplicator())
    const errors: unknown[] = []
    channel.on('error', (error) => errors.push(error))
    const messages = await collecting(channel, queue)
    await send('a')
    await until('the error', () => errors.length === 1)
    expect(errors[0]).toMatchObject({
      name: 'OncemqError',
      message: expect.stringContaining('stream') as string,
    })
    expect(messages).toEqual([])
  })

  test('get answers what is granted, past duplicates', async () => {
    const connection = await connected(url)
    const { queue, send } = await newQueue(connection)
    const channel = dedupChannel(await connection.createChannel(), deduplicator())
    for (const id of ['a', 'a', 'a', 'b']) await send(id)
    const bodies: (string | false)[] = []
    for (let count = 0; count < 3; count += 1) {
      const message = await channel.get(queue)
      bodies.push(message && message.content.toString())
      if (message !== false) channel.ack(message)
    }
    expect(bodies).toEqual(['a', 'b', false])
  })
})
