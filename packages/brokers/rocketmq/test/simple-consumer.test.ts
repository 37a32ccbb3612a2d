import { MemoryStore } from '@oncemq/core'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, test } from 'vitest'
import { contextOf, dedupSimpleConsumer, messageKeys } from '../src/index.ts'
import { deduplicator, nextOf, place, until } from './set-up.ts'

/** Longer than it takes to have them all. */
const FREE_MS = 3000

describeService('rocketmq-fast', ({ url }) => {
  const set = async (options = {}, store = new MemoryStore(), key = messageKeys()) => {
    const at = await place(url)
    const dedup = deduplicator({ store, ...options })
    const raw = at.simple()
    const consumer = dedupSimpleConsumer(raw, dedup, { key })
    await consumer.startup()
    const receive = () => consumer.receive(10, 10_000)
    return { at, dedup, raw, consumer, receive, store }
  }

  test('keeps every method and property of the consumer', async () => {
    const { raw, consumer, at } = await set()
    expect(consumer.clientId).toBe(raw.clientId)
    expect(consumer.getConsumerGroup()).toBe(at.group)
    expect(consumer.isRunning()).toBe(true)
    expect(consumer).toBeInstanceOf(raw.constructor)
  })

  test('receives a message that was sent twice once, and acks the copy', async () => {
    const { at, dedup, consumer, receive } = await set()
    await at.send('a')
    const first = await nextOf(consumer)
    expect(contextOf(first)).toMatchObject({ key: 'a', epoch: 1, attempt: 1 })
    await consumer.ack(first)
    await at.send('a')
    expect(await receive()).toEqual([])
    await until('the duplicate', async () => (await receive(), dedup.counts().duplicate === 1))
    expect(dedup.counts()).toMatchObject({ granted: 1, completed: 1 })
  })

  test('lets a message that was deferred come again with its key free, as the next attempt', async () => {
    const { at, consumer } = await set()
    await at.send('a')
    const first = await nextOf(consumer)
    await consumer.changeInvisibleDuration(first, 1000)
    const again = await nextOf(consumer)
    expect(contextOf(again)).toMatchObject({ attempt: 2 })
    await consumer.ack(again)
  })

  test('knows a message by a copy that the user has made of it', async () => {
    const { at, dedup, consumer, receive } = await set()
    await at.send('a')
    const copy = Object.assign({}, await nextOf(consumer), { order: 7 })
    expect(contextOf(copy)).toMatchObject({ key: 'a', attempt: 1 })
    await consumer.ack(copy)
    expect(dedup.counts().completed).toBe(1)
    await at.send('a')
    await until('the duplicate', async () => (await receive(), dedup.counts().duplicate === 1))
  })

  test('gives back what is granted while it shuts down', async () => {
    const store = new MemoryStore()
    const { at, dedup, consumer, receive } = await set({}, store)
    await dedup.open()
    const answer = Promise.withResolvers<void>()
    let isAsked = false
    const claim = store.claim.bind(store)
    store.claim = async (batch) => {
      isAsked = true
      await answer.promise
      return claim(batch)
    }
    await at.send('a')
    const received = until('the claim', async () => (await receive(), isAsked))
    await until('the claim', () => isAsked)
    const shutdown = consumer.shutdown()
    answer.resolve()
    await shutdown
    await received
    const record = await dedup.inspect('a', { source: at.topic })
    expect(record?.state).not.toBe('running')
  })

  test('does not ack what failed meanwhile', async () => {
    const { at, dedup, consumer } = await set()
    await at.send('a')
    const first = await nextOf(consumer)
    await consumer.changeInvisibleDuration(first, 500)
    await nextOf(consumer)
    await consumer.ack(first)
    expect(dedup.counts()).toMatchObject({ completed: 0, warning: 1 })
  })

  test('keeps a busy message away from this worker, and gives it when the other one failed', async () => {
    const { at, consumer, store } = await set({ leaseMs: 1000 })
    const other = deduplicator({ store, leaseMs: 1000 })
    const held = await other.claim({ key: 'a', source: at.topic })
    if (held.status !== 'granted') throw new Error('not granted')
    await at.send('a')
    await at.send('b')
    const b = await nextOf(consumer)
    expect(b.body.toString()).toBe('b')
    await consumer.ack(b)
    await held.claim.release('failed')
    const a = await nextOf(consumer)
    expect(contextOf(a)).toMatchObject({ key: 'a', epoch: 2 })
    await consumer.ack(a)
  })

  test('gives those that may have ended their process one by one, and rejects none unseen', async () => {
    const key = messageKeys({ without: 'none' })
    const { at, dedup, consumer, receive } = await set({ attemptsMax: 1 }, new MemoryStore(), key)
    const earlier = await at.started()
    const bodies = ['a', 'b', 'c']
    for (const body of bodies) await at.send(body, {})
    for (let left = bodies.length; left > 0; left -= 1) {
      await earlier.changeInvisibleDuration(await nextOf(earlier), FREE_MS)
    }
    const given: string[][] = []
    await until('all of them', async () => {
      const messages = await receive()
      if (messages.length > 0) given.push(messages.map(({ body }) => body.toString()))
      for (const message of messages) await consumer.ack(message)
      return given.length === bodies.length
    })
    expect(given.flat().toSorted()).toEqual(bodies)
    expect(dedup.counts()).toMatchObject({ rejected: 0, deadLettered: 0 })
  })

  test('renews what is worked on for longer than it was hidden', async () => {
    const { at, dedup, consumer, receive } = await set()
    await at.send('a')
    const first = await nextOf(consumer)
    const fromMs = performance.now()
    while (performance.now() - fromMs < 12_000) expect(await receive()).toEqual([])
    await consumer.ack(first)
    expect(dedup.counts()).toMatchObject({ granted: 1, completed: 1, busy: 0, duplicate: 0 })
  })
})
