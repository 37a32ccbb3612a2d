// What becomes of messages in the drop-in forms while the store or the deduplicator is not there: each on a
// quorum queue without a dead-letter exchange, from which a message that is returned too often is deleted.
import type { ClaimAnswer, ClaimRequest } from '@oncemq/core/store'
import { StoreError } from '@oncemq/core/store'
import { describeService } from '@oncemq/test-services/vitest'
import type { Channel } from 'amqplib'
import { BrokerAsPromised } from 'rascal'
import { describe, expect, onTestFinished, test } from 'vitest'
import { contextOf, dedupChannel, dedupListener } from '../src/index.ts'
import { FlakyStore } from './flaky-store.ts'
import { connected, deduplicator, newQueue, quiet, readyIn, until } from './set-up.ts'

const ids = ['a', 'b', 'c', 'd', 'e']

/** A store that answers that it will not. */
class RefusingStore extends FlakyStore {
  refuses = false

  override claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    if (this.refuses) return Promise.reject(new StoreError('ONCEMQ_STORE_REFUSED', 'no right'))
    return super.claim(batch)
  }
}

/** Counts what the broker sends on a raw channel, and how often it asks. */
function counting(bare: Channel) {
  const counts = { deliveries: 0, gets: 0 }
  bare.on('delivery', () => (counts.deliveries += 1))
  const get = bare.get.bind(bare)
  bare.get = (...args) => {
    counts.gets += 1
    return get(...args)
  }
  return counts
}

describe.each(['rabbitmq-4.0', 'rabbitmq-3.10'] as const)('outages', (name) => {
  describeService(name, ({ url }) => {
    test('a consumer holds what it has while the store is down, with no returns', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection, 'quorum')
      const store = new FlakyStore()
      const bare = await connection.createChannel()
      const counts = counting(bare)
      const channel = dedupChannel(bare, deduplicator({ store, outageHoldMs: 50 }))
      const seen: string[] = []
      await channel.prefetch(2)
      await channel.consume(queue, (message) => {
        if (message === null) return
        seen.push(message.content.toString())
        channel.ack(message)
      })
      store.isDown = true
      for (const id of ids) await send(id)
      await quiet(2000)
      expect(counts.deliveries).toBe(2)
      store.isDown = false
      await until('all', () => seen.length === ids.length)
      expect(seen.toSorted()).toEqual(ids)
      await channel.close()
      expect(await readyIn(connection, queue)).toBe(0)
    })

    test.each(['down', 'refusing'] as const)('get in a loop with a store that is %s', async (how) => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection, 'quorum')
      const store = new RefusingStore()
      for (const id of ids) await send(id)
      const bare = await connection.createChannel()
      const counts = counting(bare)
      const dedup = deduplicator({ store, outageHoldMs: 50 })
      await dedup.open()
      const channel = dedupChannel(bare, dedup)
      store.isDown = how === 'down'
      store.refuses = how === 'refusing'
      for (let count = 0; count < 100; count += 1) {
        expect(await channel.get(queue)).toBe(false)
        await quiet(10)
      }
      expect(counts.gets).toBeLessThan(5)
      store.isDown = false
      store.refuses = false
      const seen: string[] = []
      await until('all', async () => {
        const message = await channel.get(queue)
        if (message === false) return seen.length === ids.length
        seen.push(message.content.toString())
        channel.ack(message)
        return false
      })
      expect(seen.toSorted()).toEqual(ids)
      await channel.close()
      expect(await readyIn(connection, queue)).toBe(0)
    })

    test('a closed deduplicator: get says so, consumers are cancelled, all is given back', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection, 'quorum')
      for (const id of ids) await send(id)
      const bare = await connection.createChannel()
      const counts = counting(bare)
      const dedup = deduplicator()
      const warnings: string[] = []
      dedup.on('warning', ({ message }) => warnings.push(message))
      const channel = dedupChannel(bare, dedup)
      await dedup.close()
      for (let count = 0; count < 20; count += 1)
        await expect(channel.get(queue)).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
      expect(counts.gets).toBe(0)
      await channel.prefetch(3)
      // Two at once, since the second is asked for before the first one's messages tell.
      const both = [1, 2].map(() => channel.consume(queue, () => expect.unreachable('it ran')))
      const ends = await Promise.allSettled(both)
      await until('given back', async () => (await readyIn(connection, queue)) === ids.length)
      const late: unknown = await channel.consume(queue, () => undefined).catch((error: unknown) => error)
      expect([...ends.map(({ status }) => status), late]).toContainEqual(
        expect.objectContaining({ code: 'ONCEMQ_CLOSED' }),
      )
      await quiet()
      expect(counts.deliveries).toBeLessThan(10)
      expect(warnings.filter((each) => each.includes('closed before this channel'))).toHaveLength(1)
      expect(await readyIn(connection, queue)).toBe(ids.length)
    })

    test('what a handler gives back for two seconds waits, and then runs', async () => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection, 'quorum')
      const channel = dedupChannel(await connection.createChannel(), deduplicator({ attemptsMax: 4 }))
      const upAt = performance.now() + 2000
      const attempts: (number | undefined)[] = []
      await channel.prefetch(10)
      await channel.consume(queue, (message) => {
        if (message === null) return
        attempts.push(contextOf(message)?.attempt)
        if (performance.now() < upAt) channel.nack(message)
        else channel.ack(message)
      })
      await send('a')
      await until('it runs', () => performance.now() > upAt && attempts.length >= 3)
      await channel.close()
      expect(attempts).toEqual([1, 2, 3])
      expect(await readyIn(connection, `${queue}.parked`)).toBe(undefined)
    })

    test('rascal: messages are held while the store is down, and run when it is back', async () => {
      const direct = await connected(url)
      const { queue, send } = await newQueue(direct, 'quorum')
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
      const store = new RefusingStore()
      const dedup = deduplicator({ store, outageHoldMs: 50 })
      await dedup.open()
      store.isDown = true
      for (const id of ids) await send(id)
      const subscription = await broker.subscribe('mine')
      subscription.on('error', () => undefined)
      const seen: string[] = []
      let redelivered = 0
      subscription.on(
        'message',
        dedupListener<Buffer>((message, content, ackOrNack) => {
          seen.push(content.toString())
          if (message.fields.redelivered) redelivered += 1
          ackOrNack()
        }, dedup),
      )
      await quiet(1500)
      store.isDown = false
      store.refuses = true
      await quiet(500)
      store.refuses = false
      await until('all', () => seen.length === ids.length)
      expect(seen.toSorted()).toEqual(ids)
      expect(redelivered).toBe(0)
      await subscription.cancel()
      expect(await readyIn(direct, queue)).toBe(0)
    })

    test('rascal: what is given back at once waits, and is recovered once, not parked', async () => {
      const direct = await connected(url)
      const { queue, send } = await newQueue(direct, 'quorum')
      const parking = await newQueue(direct)
      const broker = await BrokerAsPromised.create({
        vhosts: {
          '/': {
            connection: { url },
            queues: [queue, parking.queue].map((each) => ({ name: each, check: false, assert: false })),
            publications: { dead: { queue: parking.queue, confirm: true } },
            subscriptions: { mine: { queue, prefetch: 10 } },
          },
        },
      })
      broker.on('error', () => undefined)
      onTestFinished(() => broker.shutdown())
      const subscription = await broker.subscribe('mine')
      const errors: Error[] = []
      subscription.on('error', (error: Error) => errors.push(error))
      const at: number[] = []
      const listener = dedupListener(
        (_, __, ackOrNack) => {
          at.push(performance.now())
          ackOrNack(new Error('not yet'), { strategy: 'nack', requeue: true })
        },
        deduplicator({ attemptsMax: 2 }),
        { onDeadLetter: { strategy: 'forward', publication: 'dead' } },
      )
      subscription.on('message', listener)
      await send('a')
      await until('it is forwarded', async () => (await readyIn(direct, parking.queue)) === 1)
      expect(at).toHaveLength(2)
      expect((at[1] ?? 0) - (at[0] ?? 0)).toBeGreaterThan(900)
      await subscription.cancel()
      expect(errors).toEqual([])
      expect(await readyIn(direct, queue)).toBe(0)
    })
  })
})
