// What a managed consumer does when the store is down before it has a session.
import { describe, expect, test } from 'vitest'

import type { MessageSource, Receiver, Session } from '../src/broker/index.ts'
import { ManagedConsumer } from '../src/broker/index.ts'
import { createDeduplicator, type Deduplicator } from '../src/index.ts'
import { StoreError } from '../src/store/index.ts'
import { VirtualClock } from '../src/testing/index.ts'
import type { Timer } from '../src/time/clock.ts'
import { elapse } from './elapse.ts'
import { ScriptedStore } from './scripted-store.ts'
import { countedRandom, GROUP } from './set-up.ts'

const down = new StoreError('ONCEMQ_STORE_UNAVAILABLE', 'down')
const done = async (): Promise<void> => {}
const session: Session = { pause: done, resume: done, stop: done, close: done }

/** Timers that keep the process. */
class WatchedClock extends VirtualClock {
  readonly keeping = new Set<object>()

  override after(delayMs: number, action: () => void, kind?: 'background'): Timer {
    const it = {}
    const over = (): void => void this.keeping.delete(it)
    const ended = (): void => {
      over()
      action()
    }
    const timer = super.after(delayMs, ended)
    if (kind === undefined) this.keeping.add(it)
    return { cancel: () => (over(), timer.cancel()) }
  }
}

/** Its sessions need the workers' secret, as those of RabbitMQ do. */
async function started() {
  const clock = new WatchedClock()
  const store = new ScriptedStore(clock)
  const dedup: Deduplicator = createDeduplicator({
    store,
    consumerGroup: GROUP,
    clock,
    random: countedRandom(),
  })
  const told: string[] = []
  dedup.on('outage', () => told.push('outage'))
  dedup.on('recovered', () => told.push('recovered'))
  const opened: Receiver<unknown>[] = []
  let asked = 0
  const source: MessageSource = {
    async open(receiver) {
      asked += 1
      await dedup.secret()
      opened.push(receiver)
      return session
    },
    close: done,
  }
  const start = () =>
    ManagedConsumer.start({
      dedup,
      source,
      key: () => 'a',
      middlewares: [],
      retry: { firstMs: 1000, factor: 2, maxMs: 60_000 },
      concurrency: 1,
      window: 1,
      holdMs: 1000,
      handler: async () => undefined,
    })
  return { clock, store, dedup, told, opened, start, asked: () => asked }
}

describe('a store that is down', () => {
  test.each(['that was never open', 'that was open before'])(
    'at the start is an outage like any other: %s',
    async (when) => {
      const { clock, store, dedup, told, opened, start, asked } = await started()
      if (when === 'that was open before') await dedup.open()
      store.around = () => Promise.reject(down)
      const consumer = await start()
      await elapse(clock, 86_400_000)
      expect([told, dedup.outage, opened.length, asked()]).toEqual([['outage'], down, 0, 1])
      expect(clock.keeping.size, 'what keeps a process that has no connection').toBe(1)
      store.works()
      await elapse(clock, 20_000)
      expect([told, dedup.outage, opened.length]).toEqual([['outage', 'recovered'], undefined, 1])
      await consumer.close()
      expect(clock.keeping.size).toBe(0)
    },
  )

  test('when a session ended is waited for, and then there is one session', async () => {
    const { clock, store, opened, start, dedup } = await started()
    const consumer = await start()
    store.around = () => Promise.reject(down)
    void dedup.process({ key: 'b' }, () => {})
    await elapse(clock, 1000)
    opened[0]?.ended()
    await elapse(clock, 86_400_000)
    expect(opened).toHaveLength(1)
    store.works()
    await elapse(clock, 20_000)
    expect(opened).toHaveLength(2)
    await consumer.close()
  })
})

test('a broker that is out of reach is told, and when it is there again; its health says so', async () => {
  const { clock, dedup, opened, start } = await started()
  const warnings: string[] = []
  dedup.on('warning', ({ message }) => void warnings.push(message))
  const consumer = await start()
  const sinceMs = clock.nowMs()
  expect(consumer.health()).toEqual({ isReceiving: true, sinceMs, lastError: undefined })
  await elapse(clock, 1000)
  const secret = dedup.secret.bind(dedup)
  const gone = Object.assign(new Error('connect amqp://shop:s3cr3t@broker failed'), { code: 'ECONNREFUSED' })
  dedup.secret = () => Promise.reject(gone)
  opened[0]?.ended()
  await elapse(clock, 60_000)
  const lastError = 'Error ECONNREFUSED: connect amqp://***@broker failed'
  expect(consumer.health()).toEqual({ isReceiving: false, sinceMs: sinceMs + 1000, lastError })
  expect(warnings).toEqual([`consume: nothing can be received yet (${lastError}); trying again until it can`])
  dedup.secret = secret
  await elapse(clock, 10_000)
  expect(consumer.health()).toMatchObject({ isReceiving: true, lastError })
  expect(warnings.slice(1)).toEqual(['consume: messages can be received again'])
  await consumer.close()
  expect(consumer.health().isReceiving).toBe(false)
})
