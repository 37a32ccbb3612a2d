// Ways to lose a message, to double it or to hang on a wrapped channel, each on a real server.
import { MemoryStore } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import type { Channel, Message } from 'amqplib'
import { describe, expect, test } from 'vitest'
import { contextOf, dedupChannel } from '../src/index.ts'
import { connected, deduplicator, newQueue, quiet, readyIn, until } from './set-up.ts'

/** Keeps what it is given, unsettled. */
async function collecting(channel: Channel, queue: string, options = {}): Promise<Message[]> {
  const messages: Message[] = []
  await channel.consume(queue, (message) => void (message !== null && messages.push(message)), options)
  return messages
}

/** Answers late, once it is told to. */
class SlowStore extends MemoryStore {
  delayMs = 0

  override async claim(batch: Parameters<MemoryStore['claim']>[0]) {
    await quiet(this.delayMs)
    return super.claim(batch)
  }
}

function bodies(messages: readonly Message[]): string[] {
  return messages.map(({ content }) => content.toString())
}

describe.each(['rabbitmq-4.0', 'rabbitmq-3.10'] as const)('attacks', (name) => {
  describeService(name, ({ url }) => {
    test('replies come through amq.rabbitmq.reply-to, and consumers without acks by the option', async () => {
      const connection = await connected(url)
      const { queue } = await newQueue(connection)
      const channel = dedupChannel(await connection.createChannel(), deduplicator(), { onNoAck: 'pass' })
      const replies = await collecting(channel, 'amq.rabbitmq.reply-to', { noAck: true })
      const requests = await collecting(channel, queue, { noAck: true })
      for (let times = 0; times < 2; times += 1)
        channel.sendToQueue(queue, Buffer.from('q'), { replyTo: 'amq.rabbitmq.reply-to', messageId: 'q' })
      await until('the requests', () => requests.length === 2)
      for (const { properties } of requests)
        channel.sendToQueue(properties.replyTo as string, Buffer.from('r'), { messageId: 'r' })
      await until('the replies', () => replies.length === 2)
      const strict = dedupChannel(await connection.createChannel(), deduplicator())
      expect(await collecting(strict, 'amq.rabbitmq.reply-to', { noAck: true })).toEqual([])
      await expect(strict.consume(queue, () => undefined, { noAck: 1 as never })).rejects.toMatchObject({
        code: 'ONCEMQ_CONSUMER_UNSAFE',
      })
    })

    test.each(['a tag of the broker', 'a fixed tag'])('a stale copy settles nothing: %s', async (how) => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection)
      const dedup = deduplicator()
      const options = how === 'a fixed tag' ? { consumerTag: 'mine' } : {}
      await send('old')
      const first = dedupChannel(await connection.createChannel(), dedup)
      const old = await collecting(first, queue, options)
      await until('the old one', () => old.length === 1)
      const stale = { ...(old[0] as Message) }
      first.ack(old[0] as Message)
      await first.close()
      await send('new')
      const second = dedupChannel(await connection.createChannel(), dedup)
      const later = await collecting(second, queue, options)
      await until('the new one', () => later.length === 1)
      expect(later[0]?.fields.deliveryTag).toBe(stale.fields.deliveryTag)
      for (const verb of ['ack', 'nack', 'reject'] as const) second[verb](stale)
      second.ack(stale, true)
      await quiet()
      expect((await dedup.inspect('new', { source: queue }))?.state).not.toBe('done')
      await second.close()
      expect(await readyIn(connection, queue)).toBe(1)
    })

    test('an earlier copy of a message that was given again settles nothing', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection)
      const dedup = deduplicator()
      const channel = dedupChannel(await connection.createChannel(), dedup, { retry: { firstMs: 50 } })
      await channel.prefetch(5)
      const given = await collecting(channel, queue)
      await send('a')
      await until('it', () => given.length === 1)
      const [first] = given as [Message]
      channel.nack(first)
      channel.ack(first)
      await until('it again', () => given.length === 2)
      expect(given[1]).not.toBe(first)
      channel.ack(first)
      channel.ack({ ...first })
      channel.nack(first, false, false)
      await quiet()
      expect((await dedup.inspect('a', { source: queue }))?.state).not.toBe('done')
      channel.ack(given[1] as Message)
      await until('done', async () => (await dedup.inspect('a', { source: queue }))?.state === 'done')
      await channel.close()
      expect(await readyIn(connection, queue)).toBe(0)
    })

    test('a batch handler with duplicates in its batch does not stall', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection)
      const channel = dedupChannel(await connection.createChannel(), deduplicator())
      const batch: Message[] = []
      const done: string[] = []
      await channel.prefetch(4)
      await channel.consume(queue, (message) => {
        if (message === null) return
        if (batch.push(message) < 4) return
        done.push(...bodies(batch))
        for (const each of batch.splice(0)) channel.ack(each)
      })
      const startMs = performance.now()
      for (const id of ['a', 'a', 'b', 'a', 'c', 'd', 'e', 'e', 'f', 'g', 'h']) await send(id)
      await until('two batches', () => done.length === 8, 12_000)
      expect(performance.now() - startMs).toBeLessThan(12_000)
      expect(done.toSorted()).toEqual('abcdefgh'.split(''))
      await until('the copies', async () => (await readyIn(connection, queue)) === 0)
    })

    test('nackAll, then close while all of it waits: nothing is lost, and all runs elsewhere', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection, 'quorum')
      const dedup = deduplicator()
      const channel = dedupChannel(await connection.createChannel(), dedup)
      await channel.prefetch(20)
      const given = await collecting(channel, queue)
      const ids = Array.from({ length: 10 }, (_, position) => `m${position}`)
      for (const id of ids) await send(id)
      await until('all', () => given.length === 10)
      channel.nackAll()
      channel.nackAll()
      channel.ackAll()
      await quiet(100)
      await channel.close()
      const second = dedupChannel(await connection.createChannel(), dedup)
      await second.prefetch(20)
      const again = await collecting(second, queue)
      await until('all again', () => again.length === 10)
      expect(bodies(again).toSorted()).toEqual(ids)
      second.ackAll()
      await second.close()
      expect(await readyIn(connection, queue)).toBe(0)
    })

    test('a channel error in the middle: what was done stays done, the rest runs elsewhere', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection, 'quorum')
      const dedup = deduplicator({ leaseMs: 500 })
      const channel = dedupChannel(await connection.createChannel(), dedup)
      const errors: unknown[] = []
      channel.on('error', (error) => errors.push(error))
      await channel.prefetch(20)
      const given = await collecting(channel, queue)
      for (const id of ['a', 'b', 'c', 'd']) await send(id)
      await until('all', () => given.length === 4)
      channel.ack(given[0] as Message)
      channel.nack(given[1] as Message)
      channel.publish('no such exchange', '', Buffer.from('x'))
      await until('the error', () => errors.length === 1)
      const second = dedupChannel(await connection.createChannel(), dedup)
      await second.prefetch(20)
      const again = await collecting(second, queue)
      await until('the rest', () => again.length === 3)
      second.ackAll()
      await second.close()
      expect(bodies(again).toSorted()).toEqual(['b', 'c', 'd'])
      expect(await readyIn(connection, queue)).toBe(0)
    })

    test('cancel and consume again: what waits goes back, and reaches the new consumer', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection)
      const channel = dedupChannel(await connection.createChannel(), deduplicator())
      await channel.prefetch(10)
      const first = await collecting(channel, queue, { consumerTag: 'one' })
      for (const id of ['a', 'b']) await send(id)
      await until('both', () => first.length === 2)
      channel.nack(first[0] as Message)
      await channel.cancel('one')
      channel.nack(first[1] as Message)
      await until('back', async () => (await readyIn(connection, queue)) === 2)
      const second = await collecting(channel, queue, { consumerTag: 'one' })
      await until('both again', () => second.length === 2)
      channel.ackAll()
      await channel.close()
      expect(await readyIn(connection, queue)).toBe(0)
    })

    test('two consumers with prefetches of their own: the duplicates of one hold up neither', async () => {
      const connection = await connected(url)
      const [busy, free] = [await newQueue(connection), await newQueue(connection)]
      const store = new MemoryStore()
      const elsewhere = await deduplicator({ store }).claim({ key: 'held', source: busy.queue })
      const channel = dedupChannel(await connection.createChannel(), deduplicator({ store }))
      await channel.prefetch(4)
      const ofBusy = await collecting(channel, busy.queue)
      await channel.prefetch(1)
      const ofFree = await collecting(channel, free.queue)
      for (let count = 0; count < 20; count += 1) await busy.send('held')
      for (const id of ['a', 'b', 'c']) await busy.send(id)
      await free.send('x')
      await until('the others', () => ofBusy.length === 3 && ofFree.length === 1)
      expect(bodies(ofBusy)).toEqual(['a', 'b', 'c'])
      channel.ackAll()
      if (elsewhere.status === 'granted') await elsewhere.claim.complete()
      await until('all are settled', async () => (await readyIn(connection, busy.queue)) === 0)
    })

    test('a prefetch that consumers share: a stalled batch goes on', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection)
      const channel = dedupChannel(await connection.createChannel(), deduplicator())
      await channel.prefetch(4, true)
      const [one, two] = [await collecting(channel, queue), await collecting(channel, queue)]
      for (const id of ['a', 'a', 'a', 'b', 'c', 'd']) await send(id)
      await until('four different ones', () => one.length + two.length === 4, 12_000)
      expect(bodies([...one, ...two]).toSorted()).toEqual(['a', 'b', 'c', 'd'])
      channel.ackAll()
    })

    test('thousands of duplicates that wait: one run, all acked', async () => {
      const connection = await connected(url)
      const { queue, channel: plain } = await newQueue(connection)
      const dedup = deduplicator()
      const channel = dedupChannel(await connection.createChannel(), dedup)
      const given = await collecting(channel, queue)
      const count = 3000
      for (let sent = 0; sent < count; sent += 1)
        plain.sendToQueue(queue, Buffer.from('x'), { messageId: 'a' })
      await plain.waitForConfirms()
      await until('the first', () => given.length === 1)
      await quiet(500)
      channel.ack(given[0] as Message)
      await until('all', () => dedup.counts().duplicate === count - 1)
      await channel.close()
      expect(given).toHaveLength(1)
      expect(await readyIn(connection, queue)).toBe(0)
    })

    test('get in a tight loop while keys are busy fetches each once, and gets it once free', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection, 'quorum')
      const store = new MemoryStore()
      const elsewhere = await deduplicator({ store }).claim({ key: 'busy', source: queue })
      for (const id of ['busy', 'a', 'busy', 'b']) await send(id)
      const bare = await connection.createChannel()
      const channel = dedupChannel(bare, deduplicator({ store }))
      const seen: string[] = []
      const look = async (): Promise<void> => {
        // Several at once, as from several workers.
        for (const message of await Promise.all([channel.get(queue), channel.get(queue)])) {
          if (message === false) continue
          seen.push(message.content.toString())
          channel.ack(message)
        }
      }
      for (let count = 0; count < 200; count += 1) await look()
      expect(seen.toSorted()).toEqual(['a', 'b'])
      if (elsewhere.status === 'granted') await elsewhere.claim.release('failed')
      await until('the busy one', async () => {
        await look()
        return seen.length === 3
      })
      await quiet(1500)
      await look()
      await channel.close()
      expect(seen).toHaveLength(3)
      await until('nothing is left', async () => (await readyIn(connection, queue)) === 0)
    })

    test.each(['classic', 'quorum'] as const)(
      'rounds through a dead-letter exchange are counted on, also on a copy of ours: %s',
      async (type) => {
        const connection = await connected(url)
        const back = { 'x-message-ttl': 50, 'x-dead-letter-exchange': '' }
        const main = `rounds-${process.pid}-${Math.random().toString(36).slice(2)}`
        const delay = await newQueue(connection, type, { ...back, 'x-dead-letter-routing-key': main })
        const arguments_ = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': delay.queue }
        await delay.channel.assertQueue(main, { arguments: { 'x-queue-type': type, ...arguments_ } })
        const channel = dedupChannel(await connection.createChannel(), deduplicator(), {
          retry: { firstMs: 100 },
          waitQueueType: 'classic',
        })
        // With a prefetch of one what is nacked waits at the broker, as a copy.
        await channel.prefetch(1)
        const rounds: number[] = []
        await channel.consume(main, (message) => {
          if (message === null) return
          const deaths = message.properties.headers?.['x-death'] ?? []
          const count =
            deaths.find(({ queue, reason }) => queue === main && reason === 'rejected')?.count ?? 0
          rounds.push(count)
          expect(deaths.filter(({ queue }) => queue.includes('.retry.'))).toEqual([])
          if (rounds.length === 2) channel.nack(message)
          else if (count < 3 && rounds.length < 20) channel.nack(message, false, false)
          else channel.ack(message)
        })
        channel.sendToQueue(main, Buffer.from('x'), { messageId: 'a' })
        await until('the third round', () => rounds.at(-1) === 3 || rounds.length === 20)
        expect(rounds).toEqual([0, 1, 1, 2, 3])
      },
    )

    test('a message without a key whose consumer nacks waits, and is parked, as any other', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection, 'quorum')
      const bare = await connection.createChannel()
      const dedup = deduplicator({ attemptsMax: 3 })
      const channel = dedupChannel(bare, dedup, { retry: { firstMs: 300, factor: 1 } })
      await channel.prefetch(5)
      const given: [number | undefined, number][] = []
      await channel.consume(queue, (message) => {
        if (message === null) return
        given.push([contextOf(message)?.attempt, performance.now()])
        channel.nack(message)
      })
      await send(undefined, 'x')
      await until('parked', async () => (await readyIn(connection, `${queue}.parked`)) === 1)
      expect(given.map(([attempt]) => attempt)).toEqual([1, 2, 3])
      const [[, firstMs] = [0, 0], , [, lastMs] = [0, 0]] = given
      expect(lastMs - firstMs).toBeGreaterThan(500)
      await channel.close()
      expect(await readyIn(connection, queue)).toBe(0)
    })

    test('a channel that is closed between a dead letter and its ack leaves it there once', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection, 'quorum')
      const store = new SlowStore()
      const dedup = deduplicator({ store, attemptsMax: 1 })
      const channel = dedupChannel(await connection.createChannel(), dedup)
      await channel.prefetch(1)
      await channel.consume(queue, (message) => {
        // What is put aside is forgiven before it is acked.
        store.delayMs = 300
        channel.nack(message as Message)
      })
      await send('a', 'x')
      await until('parked', async () => (await readyIn(connection, `${queue}.parked`)) === 1)
      await channel.close()
      expect(await readyIn(connection, queue)).toBe(0)
    })
  })
})
