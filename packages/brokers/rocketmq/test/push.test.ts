// How messages wait in the listener of a PushConsumer: a FAILURE costs an attempt, and a FIFO message more.
import { describeService } from '@oncemq/test-services/vitest'
import { ConsumeResult } from 'rocketmq-client-nodejs'
import { expect, test } from 'vitest'
import { dedupListener } from '../src/index.ts'
import { FaultyStore } from './faulty-store.ts'
import { deduplicator, nextOf, place, quiet, until } from './set-up.ts'

const OUTAGE_MS = 6000
const DUE_MS = 4000

describeService('rocketmq-fast', ({ url }) => {
  test.each(['down', 'refused'] as const)('FIFO messages wait while the store is %s', async (fault) => {
    const at = await place(url, 'FIFO')
    const store = new FaultyStore()
    const dedup = deduplicator({ store })
    await dedup.open()
    const seen: string[] = []
    const consume = ({ body }: { body: Buffer }) => {
      seen.push(body.toString())
      return ConsumeResult.SUCCESS
    }
    store.fault = fault
    const consumer = await at.push(dedupListener({ consume }, dedup))
    const bodies = ['a', 'b', 'c', 'd']
    for (const body of bodies) await at.send(body, { keys: [body], messageGroup: 'x' })
    await until('the fault', () => dedup.outage ?? store.refusals > 0)
    await quiet(OUTAGE_MS)
    expect(store.refusals).toBeLessThan(8)
    store.fault = undefined
    await until('all', () => dedup.counts().completed === bodies.length)
    expect(seen).toEqual(bodies)
    expect(consumer.getConsumptionErrorQuantity()).toBe(0)
  })

  test('messages that wait for another attempt take no place to work', async () => {
    const at = await place(url)
    const dedup = deduplicator()
    const consume = ({ body }: { body: Buffer }) =>
      body.toString().startsWith('bad') ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS
    const retry = { firstMs: 60_000 }
    const consumer = await at.push(dedupListener({ consume }, dedup, { concurrency: 2, retry }))
    for (let count = 0; count < 6; count += 1) await at.send(`bad${count}`)
    await until('the failures', () => dedup.counts().failed === 6)
    for (let count = 0; count < 20; count += 1) await at.send(`good${count}`)
    await until('the others', () => dedup.counts().completed === 20)
    expect(consumer.getConsumptionErrorQuantity()).toBe(0)
  })

  test('gives messages back ever later when the deduplicator is closed, and says it', async () => {
    const at = await place(url)
    const dedup = deduplicator()
    const warnings: string[] = []
    dedup.on('warning', ({ message }) => warnings.push(message))
    const consumer = await at.push(dedupListener({ consume: () => ConsumeResult.SUCCESS }, dedup))
    await dedup.close()
    await at.send('a')
    await until('a first FAILURE', () => consumer.getConsumptionErrorQuantity() === 1)
    await quiet(OUTAGE_MS)
    expect(consumer.getConsumptionErrorQuantity()).toBeLessThan(4)
    expect(warnings).toEqual([expect.stringContaining('closed before its PushConsumer')])
  })

  test('without a producer a message is run no more until the broker has dead-lettered it', async () => {
    const at = await place(url, 'NORMAL', { retryMaxTimes: 2 })
    const dedup = deduplicator({ attemptsMax: 2 })
    let starts = 0
    const consume = () => {
      starts += 1
      return ConsumeResult.FAILURE
    }
    const consumer = await at.push(dedupListener({ consume }, dedup, { retry: { firstMs: 100 } }))
    await at.send('a')
    await until('the last delivery', () => consumer.getConsumptionErrorQuantity() === 3)
    // It is moved when it is next due. The server remembers for a while that a topic does not exist.
    await quiet(DUE_MS)
    const dead = await at.deadLetters()
    const message = await nextOf(dead)
    expect(message.keys).toEqual(['a'])
    expect(starts).toBe(2)
    expect(dedup.counts().deadLettered).toBe(1)
    await dead.ack(message)
  })

  test('parks with a producer, and answers SUCCESS', async () => {
    const at = await place(url, 'FIFO')
    const dedup = deduplicator({ attemptsMax: 1 })
    const consume = () => ConsumeResult.FAILURE
    const consumer = await at.push(dedupListener({ consume }, dedup, { producer: await at.producer() }))
    await at.send('a', { keys: ['a'], messageGroup: 'x' })
    const parked = await at.started(`${at.topic}_parked`)
    const copy = await nextOf(parked)
    expect(copy.properties.get('oncemq-message-group')).toBe('x')
    expect(consumer.getConsumptionErrorQuantity()).toBe(0)
    await parked.ack(copy)
  })
})
