import { describe, expect, test, vi } from 'vitest'

import { elapse, settle } from './elapse.ts'
import { heldHandler, setUp } from './set-up.ts'

describe('a duplicate in the same process', () => {
  test('waits for the one that runs, and is a duplicate without asking the store', async () => {
    const { dedup, store } = await setUp()
    const { started, handler, end } = heldHandler()
    const first = dedup.process({ key: 'a' }, handler('first'))
    const second = dedup.process({ key: 'a' }, handler('second'))
    await settle()
    expect(started).toEqual(['first'])
    end()
    expect(await Promise.all([first, second])).toMatchObject([
      { status: 'completed' },
      { status: 'duplicate' },
    ])
    expect(store.callsOf('claim')).toHaveLength(1)
  })

  test('gets its answer from the one that ran also where nothing is remembered', async () => {
    const { dedup, store } = await setUp({ doneCacheMax: 0 })
    const outcomes = await Promise.all([1, 2, 3].map(() => dedup.process({ key: 'a' }, () => {})))
    expect(outcomes.map(({ status }) => status)).toEqual(['completed', 'duplicate', 'duplicate'])
    expect(store.callsOf('claim')).toHaveLength(1)
  })

  test('takes its own turn when the one that ran failed, in the order of arrival', async () => {
    const { dedup } = await setUp()
    const { started, handler, end, fail } = heldHandler()
    const outcomes = ['first', 'second', 'third'].map((name) => dedup.process({ key: 'a' }, handler(name)))
    await settle()
    fail(new Error('no'))
    await settle()
    expect(started).toEqual(['first', 'second'])
    end()
    expect(await Promise.all(outcomes)).toMatchObject([
      { status: 'failed', attempt: 1, final: false },
      { status: 'completed' },
      { status: 'duplicate' },
    ])
  })

  test('is given back when it has waited long enough', async () => {
    const { clock, dedup, told } = await setUp({ busyTimeoutMs: 5000 })
    const { handler } = heldHandler()
    void dedup.process({ key: 'a' }, handler('first'))
    const second = dedup.process({ key: 'a' }, handler('second'))
    await elapse(clock, 5000)
    expect(await second).toEqual({ status: 'busy', retryAfterMs: 1000 })
    expect(told).toContainEqual({ name: 'busy', key: 'a', retryAfterMs: 1000 })
  })

  test('is given back when its delivery is called off, and nothing of it stays on the signal', async () => {
    const { clock, dedup } = await setUp()
    const { handler, end } = heldHandler()
    const controller = new AbortController()
    const first = dedup.process({ key: 'a' }, handler('first'))
    const second = dedup.process({ key: 'a', signal: controller.signal }, handler('second'))
    await settle()
    controller.abort()
    expect((await second).status).toBe('busy')
    end()
    expect((await first).status).toBe('completed')
    await elapse(clock, 60_000)
    expect(clock.nextInMs).toBeUndefined()
  })

  test('and many others that share a signal make one signal of it, and no warning', async () => {
    const warned: Error[] = []
    const note = (warning: Error): void => void warned.push(warning)
    const any = vi.spyOn(AbortSignal, 'any')
    process.on('warning', note)
    const { dedup } = await setUp()
    const { handler, end } = heldHandler()
    const { signal } = new AbortController()
    const first = dedup.process({ key: 'a', signal }, handler('first'))
    const others = Array.from({ length: 100 }, () => dedup.process({ key: 'a', signal }, handler('other')))
    await settle()
    end()
    await Promise.all([first, ...others])
    await settle()
    process.off('warning', note)
    expect([any.mock.calls.length, warned]).toEqual([1, []])
  })

  test('of another group does not wait: each group has keys of its own', async () => {
    const all = await setUp()
    const other = await setUp({ beside: all, consumerGroup: 'shipping' })
    const { started, handler } = heldHandler()
    void all.dedup.process({ key: 'a' }, handler('billing'))
    void other.dedup.process({ key: 'a' }, handler('shipping'))
    await settle()
    expect(started).toEqual(['billing', 'shipping'])
  })
})

describe('a duplicate in another process', () => {
  test('polls until the key is done', async () => {
    const all = await setUp()
    const other = await setUp({ beside: all })
    const { handler, end } = heldHandler()
    const first = all.dedup.process({ key: 'a' }, handler('first'))
    const second = other.dedup.process({ key: 'a' }, handler('second'))
    await elapse(all.clock, 3000)
    end()
    await elapse(all.clock, 1000)
    expect(await Promise.all([first, second])).toMatchObject([
      { status: 'completed' },
      { status: 'duplicate' },
    ])
    expect(all.store.callsOf('claim').length).toBeLessThan(15)
  })

  test('takes over when the process that ran it is gone, once its lease is over', async () => {
    const all = await setUp({ leaseMs: 2000 })
    const other = await setUp({ beside: all, leaseMs: 2000 })
    const { handler } = heldHandler()
    void all.dedup.process({ key: 'a' }, handler('first'))
    await settle()
    // The process is gone: nothing of it reaches the store any more.
    all.store.around = (call, apply) => (call.operation === 'update' ? new Promise(() => {}) : apply())
    let startedAtMs = 0
    void other.dedup.process({ key: 'a' }, ({ epoch, attempt }) => {
      startedAtMs = all.clock.monotonicMs()
      expect([epoch, attempt]).toEqual([2, 2])
    })
    await elapse(all.clock, 4000)
    expect(startedAtMs).toBeGreaterThanOrEqual(2000)
    expect(startedAtMs).toBeLessThan(2100)
  })

  test('is given back past its bound, to come again when the lease may be over', async () => {
    const all = await setUp({ leaseMs: 60_000 })
    const other = await setUp({ beside: all, leaseMs: 60_000, busyTimeoutMs: 1000 })
    const { handler } = heldHandler()
    void all.dedup.process({ key: 'a' }, handler('first'))
    const second = other.dedup.process({ key: 'a' }, handler('second'))
    await elapse(all.clock, 1000)
    const outcome = await second
    expect(outcome).toMatchObject({ status: 'busy', retryAfterMs: expect.any(Number) as number })
    expect('retryAfterMs' in outcome && outcome.retryAfterMs).toBeGreaterThan(58_000)
  })
})

test('a burst of claims leaves in two halves, and what ends meanwhile in one call', async () => {
  const { dedup, store } = await setUp({ batching: { batchMax: 64, batchesInFlightMax: 2, batchMin: 2 } })
  const second = Promise.withResolvers<void>()
  store.around = async (call, apply) => {
    if (call === store.callsOf('claim')[1]) await second.promise
    return apply()
  }
  store.calls.length = 0
  const sizesOf = (operation: 'claim' | 'update') => store.callsOf(operation).map(({ batch }) => batch.length)
  const outcomes = Array.from({ length: 8 }, (_, key) => dedup.process({ key: String(key) }, () => undefined))
  await settle()
  expect(sizesOf('claim')).toEqual([4, 4])
  expect(sizesOf('update')).toEqual([4])
  second.resolve()
  await Promise.all(outcomes)
})

describe('order', () => {
  test('handlers start in the order of delivery, in one batch and over many', async () => {
    const { dedup } = await setUp({ batching: { batchMax: 3, batchesInFlightMax: 2 } })
    const started: number[] = []
    const deliver = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, count) =>
        dedup.process({ key: String(from + count) }, () => void started.push(from + count)),
      )
    const first = deliver(0, 10)
    await Promise.resolve()
    await Promise.all([...first, ...deliver(10, 31)])
    expect(started).toEqual(Array.from({ length: 31 }, (_, count) => count))
  })

  test('also when the store answers a later batch first', async () => {
    const { dedup, store } = await setUp({ batching: { batchMax: 2, batchesInFlightMax: 2 } })
    const started: number[] = []
    const first = Promise.withResolvers<void>()
    let claims = 0
    store.around = async (call, apply) => {
      if (call.operation === 'claim' && claims++ === 0) await first.promise
      return apply()
    }
    const outcomes = [0, 1, 2, 3].map((key) =>
      dedup.process({ key: String(key) }, () => void started.push(key)),
    )
    await settle()
    first.resolve()
    await Promise.all(outcomes)
    expect(started).toEqual([0, 1, 2, 3])
  })
})

test('nothing stays behind of ten thousand keys, however they ended', async () => {
  const { clock, dedup } = await setUp({ doneCacheMax: 0, attemptsMax: 3 })
  const outcomes = Array.from({ length: 10_000 }, (_, count) =>
    dedup.process({ key: String(count % 4000) }, () => {
      if (count % 3 === 0) throw new Error('no')
    }),
  )
  await Promise.all(outcomes)
  await elapse(clock, 60_000)
  expect(clock.nextInMs).toBeUndefined()
  await dedup.close({ timeoutMs: 0 })
  expect(dedup.counts().warning).toBe(0)
})
