// A message that ends its process each time, and whose starts no record counts: it must not go on for ever.
import { MemoryStore, naturalKey } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import type { ChannelModel } from 'amqplib'
import { expect, test } from 'vitest'
import { consume, dedupChannel } from '../src/index.ts'
import { connected, consuming, deduplicator, newQueue, readyIn, taken, until } from './set-up.ts'

const ATTEMPTS_MAX = 2
/** Where nothing counts the starts, a message may be alone three times. */
const STARTS_MAX = ATTEMPTS_MAX + 3
const DEATHS_MAX = 20
/** For so long the claim of a process that has ended stays. */
const LEASE_MS = 1000

const lease = {}
const natural = { strategy: naturalKey({ constraint: 'orders_pkey', duplicateKeyOf: () => undefined }) }
const forged = (count: number) => ({ headers: { 'x-delivery-count': count } })

const cases = [
  ['a message without a key', lease, undefined, {}],
  ['a forged count of 0', lease, undefined, forged(0)],
  ['a forged count of 1', lease, undefined, forged(1)],
  ['a key without a record', natural, 'a', {}],
  ['a key without a record and a forged count', natural, 'a', forged(1)],
] as const

describeService('rabbitmq-4.0', ({ url }) => {
  for (const type of ['classic', 'quorum'] as const) {
    test.each(cases)(`%s is parked, ${type} queue`, { timeout: 60_000 }, async (_, strategy, id, options) => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection, type)
      const store = new MemoryStore()
      await send(id, 'poison', options)
      let starts = 0
      const isParked = async (): Promise<boolean> => (await readyIn(connection, `${queue}.parked`)) === 1
      for (let deaths = 0; deaths < DEATHS_MAX && !(await isParked()); deaths += 1) {
        const dedup = deduplicator({
          store,
          leaseMs: LEASE_MS,
          attemptsMax: ATTEMPTS_MAX,
          ...(strategy as object),
        })
        const before = starts
        await oneLife(connection, queue, dedup, { isOver: isParked, onStart: () => (starts += 1) })
        expect(starts - before).toBeLessThanOrEqual(1)
      }
      expect(await isParked()).toBe(true)
      expect(starts).toBeGreaterThanOrEqual(ATTEMPTS_MAX)
      expect(starts).toBeLessThanOrEqual(STARTS_MAX)
    })
  }

  test.each(['classic', 'quorum'] as const)(
    'a message without a key is parked by a wrapped channel too, %s queue',
    { timeout: 60_000 },
    async (type) => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection, type)
      await send(undefined, 'poison')
      const store = new MemoryStore()
      let starts = 0
      const isParked = async (): Promise<boolean> => (await readyIn(connection, `${queue}.parked`)) === 1
      for (let deaths = 0; deaths < DEATHS_MAX && !(await isParked()); deaths += 1) {
        const bare = await connection.createChannel()
        let isDead = false
        const dedup = deduplicator({ store, leaseMs: LEASE_MS, attemptsMax: ATTEMPTS_MAX })
        const channel = dedupChannel(bare, dedup)
        await channel.consume(queue, () => {
          starts += 1
          void bare.close().then(() => (isDead = true))
        })
        await until('the end of this life', async () => isDead || (await isParked()))
        await dedup.close({ timeoutMs: 0 })
      }
      expect(await isParked()).toBe(true)
      expect(starts).toBeGreaterThanOrEqual(ATTEMPTS_MAX)
      expect(starts).toBeLessThanOrEqual(STARTS_MAX)
    },
  )

  // With nothing to count its starts and no copy to carry the count, it could go on for ever.
  test.each(['classic', 'quorum'] as const)(
    'one that cannot be copied is parked at once, and its neighbours go on, %s queue',
    { timeout: 60_000 },
    async (type) => {
      const connection = await connected(url)
      const { queue, send } = await newQueue(connection, type)
      await send(undefined, 'poison', { headers: { big: 'x'.repeat(60_000) } })
      let starts = 0
      const isOver = async (): Promise<boolean> => false
      await oneLife(connection, queue, deduplicator(), { isOver, onStart: () => (starts += 1) })
      await send('neighbour')
      const done: string[] = []
      await consuming({
        connection,
        queue,
        dedup: deduplicator(),
        handler: ({ content }) => void done.push(content.toString()),
      })
      await until('parked', async () => (await readyIn(connection, `${queue}.parked`)) === 1)
      await until('the neighbour', () => done.length === 1)
      expect([starts, done]).toEqual([1, ['neighbour']])
      const { content, properties } = await taken(connection, `${queue}.parked`)
      expect(content.toString()).toBe('poison')
      const reasons = {
        'x-oncemq-reason': 'attempts',
        'x-oncemq-attempts': 1,
        'x-oncemq-unwritable': 'headers',
      }
      expect(properties.headers).toMatchObject(reasons)
    },
  )
})

/** A consumer whose first handler takes its channel with it, and never ends. */
async function oneLife(
  connection: ChannelModel,
  queue: string,
  dedup: ReturnType<typeof deduplicator>,
  { isOver, onStart }: { isOver: () => Promise<boolean>; onStart: () => void },
): Promise<void> {
  const channel = await connection.createChannel()
  let isDead = false
  const consumer = await consume({
    channel,
    queue,
    dedup,
    handler: async () => {
      onStart()
      await channel.close()
      isDead = true
      await new Promise(() => undefined)
    },
  })
  await until('the end of this life', async () => isDead || (await isOver()))
  await consumer.close({ timeoutMs: 0 })
  await dedup.close({ timeoutMs: 0 })
}
