// How long a message of the drop-in SimpleConsumer is held, and its claim with it.
import { describeService } from '@oncemq/test-services/vitest'
import { SimpleConsumer } from 'rocketmq-client-nodejs'
import { expect, onTestFinished, test } from 'vitest'
import { contextOf, dedupSimpleConsumer, stopClient } from '../src/index.ts'
import { FaultyStore } from './faulty-store.ts'
import { deduplicator, nextOf, place, quiet, silent, until } from './set-up.ts'
import { wire } from './wire.ts'

const LONG_MS = 90_000
/** The least that the server allows. */
const INVISIBLE_MS = 10_000
const REFUSED_MS = 6000

describeService('rocketmq-fast', ({ url }) => {
  const wrapped = async (options: { holdMs?: number } = {}, store = new FaultyStore()) => {
    const at = await place(url)
    const dedup = deduplicator({ store })
    const warnings: string[] = []
    dedup.on('warning', ({ message }) => warnings.push(message))
    const consumer = dedupSimpleConsumer(at.simple(), dedup, options)
    await consumer.startup()
    /** Whether another worker is granted the key now. */
    const isFree = async () => {
      const other = deduplicator({ store, busyTimeoutMs: 0 })
      const outcome = await other.claim({ key: 'a', source: at.topic })
      if (outcome.status === 'granted') await outcome.claim.release('unstarted')
      return outcome.status === 'granted'
    }
    return { at, dedup, store, warnings, consumer, isFree }
  }

  test('the claim outlives a broker out of reach, until the hold ends', { timeout: LONG_MS }, async () => {
    const { at, dedup, warnings, isFree } = await wrapped()
    const holdMs = 16_000
    const options = { namespace: '', logger: silent, consumerGroup: at.group, awaitDuration: 1000 }
    const subscriptions = new Map([[at.topic, '*']])
    const make = (endpoints: string) => new SimpleConsumer({ ...options, subscriptions, endpoints })
    const { consumer: raw, cut, close } = await wire(url, make)
    onTestFinished(async () => {
      await stopClient(raw, { timeoutMs: 1000 }).catch(() => undefined)
      await close()
    })
    const consumer = dedupSimpleConsumer(raw, dedup, { holdMs })
    await consumer.startup()
    await at.send('a')
    const message = await until('a message', async () => (await consumer.receive(1, INVISIBLE_MS))[0])
    const signal = contextOf(message)?.signal
    cut()
    await quiet(INVISIBLE_MS + 2000)
    expect(await isFree()).toBe(false)
    expect(signal?.aborted).toBe(false)
    await until('the end of the hold', () => signal?.aborted)
    await until('the key to be free', isFree)
    expect(warnings).toContainEqual(expect.stringContaining('raise holdMs'))
  })

  test('the hold begins when the key is granted, and ends', { timeout: LONG_MS }, async () => {
    const holdMs = 4000
    const { at, dedup, store, consumer, isFree } = await wrapped({ holdMs })
    await dedup.open()
    await at.send('a')
    store.fault = 'down'
    const received = nextOf(consumer)
    await until('the outage', () => dedup.outage)
    // Longer than the hold, which must not end before it has begun.
    await quiet(2 * holdMs)
    store.fault = undefined
    const message = await received
    expect(message.deliveryAttempt).toBe(1)
    const signal = contextOf(message)?.signal
    expect(signal?.aborted).toBe(false)
    expect(await isFree()).toBe(false)
    await until('its end', () => signal?.aborted)
    await until('the key to be free', isFree)
    const again = await nextOf(consumer)
    expect(contextOf(again)).toMatchObject({ attempt: 2 })
    await consumer.ack(again)
    expect(dedup.counts().completed).toBe(1)
  })

  test('a handler that ends while it is still hidden is done, though the hold is over', async () => {
    const { at, dedup, consumer } = await wrapped({ holdMs: 1000 })
    await at.send('a')
    const message = await nextOf(consumer)
    await quiet(3000)
    await consumer.ack(message)
    expect(dedup.counts()).toMatchObject({ completed: 1, warning: 0 })
  })

  test(
    'an ack in time is in time, though the store answers it after the hold',
    { timeout: LONG_MS },
    async () => {
      const { at, dedup, store, warnings, consumer } = await wrapped({ holdMs: 1000 })
      await at.send('a')
      const message = await until('a message', async () => (await consumer.receive(1, INVISIBLE_MS))[0])
      const signal = contextOf(message)?.signal
      store.fault = 'down'
      const acked = consumer.ack(message)
      acked.catch(() => undefined)
      await quiet(INVISIBLE_MS + 2000)
      store.fault = undefined
      await acked
      expect(signal?.aborted).toBe(false)
      expect(warnings).toEqual([])
      expect(dedup.counts()).toMatchObject({ completed: 1, granted: 1 })
    },
  )

  test('what the store refuses is held, not given back', async () => {
    const { at, dedup, store, warnings, consumer } = await wrapped()
    await dedup.open()
    store.fault = 'refused'
    await at.send('a')
    await until(
      'the first refusal',
      async () => (await consumer.receive(1, INVISIBLE_MS), store.refusals > 0),
    )
    await quiet(REFUSED_MS)
    expect(store.refusals).toBeLessThan(8)
    store.fault = undefined
    const message = await nextOf(consumer)
    expect(message.deliveryAttempt).toBe(1)
    await consumer.ack(message)
    expect(warnings.filter((each) => each.includes('refuses'))).toHaveLength(1)
  })

  test('says that the deduplicator is closed, and gives what it has received back once', async () => {
    const { at, dedup, consumer } = await wrapped()
    await dedup.close()
    await at.send('a')
    const closed = expect.objectContaining({ code: 'ONCEMQ_CLOSED' }) as Error
    await expect(nextOf(consumer)).rejects.toEqual(closed)
    await expect(consumer.receive(1, INVISIBLE_MS)).rejects.toEqual(closed)
    const message = await nextOf(await at.started())
    expect(message.deliveryAttempt).toBe(2)
  })
})
