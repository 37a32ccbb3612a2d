import { expect, test } from 'vitest'

import { createDeduplicator } from '../src/index.ts'
import { StoreError } from '../src/store/index.ts'
import { VirtualClock } from '../src/testing/index.ts'
import { elapse, settle } from './elapse.ts'
import { ScriptedStore } from './scripted-store.ts'

function setUp(options: object = {}) {
  const clock = new VirtualClock()
  const store = new ScriptedStore(clock)
  const dedup = createDeduplicator({ store, consumerGroup: 'billing', clock, sweepEveryMs: 0, ...options })
  return { clock, store, dedup }
}

test('tells from when to when the store is up, and what failed last', async () => {
  const { clock, store, dedup } = setUp()
  const startMs = clock.nowMs()
  const nothing = { inFlight: 0, longestMs: 0, waiting: 0, lastError: undefined }
  expect(dedup.health()).toEqual({ isReady: false, store: 'unopened', sinceMs: startMs, ...nothing })
  await elapse(clock, 1000)
  await dedup.open()
  expect(dedup.health()).toEqual({ isReady: true, store: 'up', sinceMs: startMs + 1000, ...nothing })

  store.around = () => Promise.reject(new StoreError('ONCEMQ_STORE_UNAVAILABLE', 'no connection'))
  const held = dedup.process({ key: 'a', holdMs: 60_000 }, () => {})
  await elapse(clock, 1000)
  const lastError = { code: 'ONCEMQ_STORE_UNAVAILABLE', message: 'no connection', operation: 'claim' }
  const { lastError: failure, ...down } = dedup.health()
  expect(down).toMatchObject({ isReady: false, store: 'down', waiting: 1, inFlight: 0 })
  expect(failure).toMatchObject({ code: lastError.code, message: lastError.message })

  store.around = (_, apply) => apply()
  await elapse(clock, 10_000)
  expect((await held).status).toBe('completed')
  const up = dedup.health()
  expect(up).toMatchObject({ isReady: true, store: 'up', waiting: 0 })
  expect(up.sinceMs).toBeGreaterThan(down.sinceMs)
  expect(up.lastError?.code).toBe(lastError.code)
  await dedup.close()
  expect(dedup.health()).toMatchObject({ isReady: false, store: 'closed' })
})

test('tells what runs and for how long, and says once that it may hang', async () => {
  const { clock, dedup } = setUp()
  const warnings: string[] = []
  dedup.on('warning', ({ message }) => void warnings.push(message))
  const work = Promise.withResolvers<void>()
  const running = dedup.process({ key: 'a' }, () => work.promise)
  await settle()
  await elapse(clock, 290_000)
  expect(dedup.health()).toMatchObject({ isReady: true, inFlight: 1 })
  expect(dedup.health().longestMs).toBeGreaterThanOrEqual(290_000)
  expect(warnings).toEqual([])
  await elapse(clock, 60_000)
  await elapse(clock, 600_000)
  expect(warnings).toEqual([
    'a message has been worked on for more than 300 s, and its key is kept from others; look for what its ' +
      'handler waits for, or for a missing ack, or set handlerTimeoutMs',
  ])
  work.resolve()
  await running
  expect(dedup.health()).toMatchObject({ inFlight: 0, longestMs: 0 })
  await dedup.close()
})
