import { describe, expect, test } from 'vitest'

import { StoreError } from '../src/store/index.ts'
import { elapse, settle } from './elapse.ts'
import type { Call } from './scripted-store.ts'
import { heldHandler, setUp } from './set-up.ts'

const LEASE_MS = 30_000
const lost = new StoreError('ONCEMQ_STORE_TIMEOUT', 'the answer got lost')
const busy = new StoreError('ONCEMQ_STORE_BUSY', 'the only connection is taken')

/** Applies what it is asked for, and loses the answers. */
const losesAnswers = async (call: Call, apply: () => Promise<unknown>): Promise<never> => {
  if (call.operation === 'claim' || call.operation === 'update') await apply()
  throw lost
}

describe('a claim whose answer was lost', () => {
  test('is given back when its delivery gives up: starts that never were are not counted', async () => {
    const { clock, store, dedup } = await setUp({ attemptsMax: 3, leaseMs: LEASE_MS })
    for (let outage = 0; outage < 5; outage += 1) {
      store.around = losesAnswers
      const outcome = dedup.process({ key: 'a' }, () => expect.unreachable())
      await elapse(clock, 15_000)
      expect((await outcome).status).toBe('store-down')
      store.works()
      await elapse(clock, 40_000)
      expect(await dedup.inspect('a')).toMatchObject({ state: 'free', attempts: 0 })
    }
    const outcome = await dedup.process({ key: 'a' }, ({ attempt }) => expect(attempt).toBe(1))
    expect(outcome.status).toBe('completed')
  })

  test('is given back also after an outage of hours, and while nothing is delivered', async () => {
    const { clock, store, dedup } = await setUp()
    store.around = losesAnswers
    void dedup.process({ key: 'a' }, () => expect.unreachable())
    await elapse(clock, 15_000)
    store.hangs()
    await elapse(clock, 2 * 3_600_000)
    store.works()
    await elapse(clock, 20_000)
    expect(await dedup.inspect('a')).toMatchObject({ state: 'free', attempts: 0 })
  })

  test('keeps its key in flight until then, and its next delivery is held, not busy', async () => {
    const { clock, store, dedup } = await setUp({ busyTimeoutMs: 1000 })
    store.around = losesAnswers
    void dedup.process({ key: 'a' }, () => {})
    await elapse(clock, 15_000)
    const again = dedup.process({ key: 'a' }, () => {})
    await elapse(clock, 15_000)
    expect((await again).status).toBe('store-down')
    store.works()
    await elapse(clock, 15_000)
    expect((await dedup.process({ key: 'a' }, () => {})).status).toBe('completed')
  })

  test('that another worker holds by now is left alone', async () => {
    const all = await setUp({ leaseMs: LEASE_MS })
    const other = await setUp({ apartFrom: all, leaseMs: LEASE_MS })
    all.store.around = losesAnswers
    void all.dedup.process({ key: 'a' }, () => {})
    await elapse(all.clock, LEASE_MS + 10_000)
    const { handler, end } = heldHandler()
    const running = other.dedup.process({ key: 'a' }, handler('other'))
    await settle()
    all.store.works()
    await elapse(all.clock, 10_000)
    expect(await other.dedup.inspect('a')).toMatchObject({ state: 'running', epoch: 2 })
    end()
    expect((await running).status).toBe('completed')
  })

  test('does not keep the deduplicator from being closed', async () => {
    const { clock, store, dedup, told } = await setUp()
    store.around = losesAnswers
    void dedup.process({ key: 'a' }, () => {})
    await elapse(clock, 15_000)
    await dedup.close().catch(() => undefined)
    expect([clock.nextInMs, told.filter(({ name }) => name === 'warning')]).toEqual([undefined, []])
  })
})

test('a claim whose lease is lost before its handler may start is given back', async () => {
  const { clock, store, dedup } = await setUp({ leaseMs: LEASE_MS })
  const landed = Promise.withResolvers<void>()
  const outcome = dedup.process({ key: 'a', beforeStart: () => landed.promise }, () => expect.unreachable())
  await settle()
  store.around = (call, apply) => (call.operation === 'update' ? Promise.resolve(['lost']) : apply())
  await elapse(clock, LEASE_MS / 2)
  store.works()
  landed.resolve()
  expect((await outcome).status).toBe('busy')
  expect(await dedup.inspect('a')).toMatchObject({ state: 'free', attempts: 0 })
})

describe('a store that is up, and busy with something of ours', () => {
  test('is asked again with growing waits, and is no outage', async () => {
    const { clock, store, dedup } = await setUp()
    store.around = (call, apply) => (call.operation === 'claim' ? Promise.reject(busy) : apply())
    const outcome = dedup.process({ key: 'a' }, () => {})
    await elapse(clock, 5000)
    expect(store.callsOf('claim').length).toBeLessThan(12)
    store.works()
    await elapse(clock, 1000)
    expect([(await outcome).status, dedup.counts().outage]).toEqual(['completed', 0])
  })

  test('past the bound the delivery is held like one whose store is down', async () => {
    const { clock, store, dedup } = await setUp({ outageHoldMs: 3000 })
    store.around = () => Promise.reject(busy)
    const outcome = dedup.process({ key: 'a' }, () => expect.unreachable())
    await elapse(clock, 3000)
    expect(await outcome).toEqual({ status: 'store-down', error: busy })
  })

  test('completions and releases are told again, at a walk, and are no outage either', async () => {
    const { clock, store, dedup } = await setUp({ leaseMs: LEASE_MS })
    store.around = (call, apply) => (call.operation === 'update' ? Promise.reject(busy) : apply())
    const completed = dedup.process({ key: 'a' }, () => {})
    const failed = dedup.process({ key: 'b' }, () => Promise.reject(new Error('no')))
    await elapse(clock, 5000)
    expect(store.callsOf('update').length).toBeLessThan(16)
    store.works()
    await elapse(clock, 2000)
    expect((await completed).status).toBe('completed')
    expect((await failed).status).toBe('failed')
    expect(await dedup.inspect('b')).toMatchObject({ state: 'free', attempts: 1 })
    expect(dedup.counts().outage).toBe(0)
  })
})

test('a thousand that wait for one key with a large result are answered by its end', async () => {
  const { dedup, store } = await setUp()
  const { handler, end } = heldHandler()
  const result = Buffer.alloc(100_000, 'x')
  const first = dedup.process({ key: 'a' }, async () => {
    await handler('first')()
    return result
  })
  await settle()
  const wait = () => dedup.process({ key: 'a' }, () => expect.unreachable())
  const others = Array.from({ length: 1000 }, wait)
  await settle()
  end()
  const outcomes = await Promise.all([first, ...others])
  expect(outcomes.slice(1).every((each) => each.status === 'duplicate' && each.result === result)).toBe(true)
  expect([store.callsOf('claim').length, store.callsOf('update').length]).toEqual([1, 1])
})

test('what the store tells to be done is not remembered: for how long is not known here', async () => {
  const all = await setUp({ leaseMs: 1000, retentionMs: 10_000 })
  const other = await setUp({ apartFrom: all, leaseMs: 1000, retentionMs: 10_000 })
  await all.dedup.process({ key: 'a' }, () => {})
  await elapse(all.clock, 9000)
  expect((await other.dedup.process({ key: 'a' }, () => expect.unreachable())).status).toBe('duplicate')
  await elapse(all.clock, 1000)
  expect((await other.dedup.process({ key: 'a' }, () => {})).status).toBe('completed')
})
