import { describe, expect, test } from 'vitest'

import { PermanentError } from '../src/index.ts'
import { StoreError } from '../src/store/index.ts'
import { elapse, settle } from './elapse.ts'
import { heldHandler, setUp } from './set-up.ts'

const down = new StoreError('ONCEMQ_STORE_UNAVAILABLE', 'down')
const fails = (): Promise<never> => Promise.reject(new PermanentError('no'))

/** A message that is never started again before it is forgiven. */
async function spent(options: Parameters<typeof setUp>[0] = {}) {
  const all = await setUp(options)
  const outcome = await all.dedup.process({ key: 'a' }, fails)
  if (outcome.status !== 'failed' || !outcome.final) throw new Error('expected a final failure')
  const { forgive = () => Promise.reject(new Error('expected forgive')) } = outcome
  all.store.calls.length = 0
  return { ...all, forgive }
}

describe('forgive', () => {
  test('lets the attempts of the key start afresh', async () => {
    const { dedup, forgive, told } = await spent()
    told.length = 0
    expect([await forgive(), await forgive(), told]).toEqual([true, true, []])
    expect(await dedup.process({ key: 'a' }, ({ attempt }) => expect(attempt).toBe(1))).toMatchObject({
      status: 'completed',
    })
  })

  test('waits for a delivery of this process: an id never stands in a batch twice', async () => {
    const { dedup, store, forgive } = await spent()
    const again = dedup.process({ key: 'a' }, () => expect.unreachable())
    const [forgiven, outcome] = await Promise.all([forgive(), again])
    expect([forgiven, outcome.status]).toEqual([true, 'rejected'])
    for (const { batch } of store.calls) expect(batch).toHaveLength(1)
  })

  test('waits for a store that is down, and for two calls at least', async () => {
    const { clock, dedup, store, forgive } = await spent({ outageHoldMs: 5000, storeTimeoutMs: 2500 })
    store.around = () => Promise.reject(down)
    const late = forgive()
    await elapse(clock, 2000)
    store.works()
    await elapse(clock, 3000)
    expect(await late).toBe(true)
    store.around = () => Promise.reject(down)
    const never = forgive()
    await elapse(clock, 6000)
    expect(await never).toBe(false)
    store.works()
    await elapse(clock, 10_000)
    expect((await dedup.process({ key: 'a' }, () => {})).status).toBe('completed')
  })

  test('leaves no timer behind, which would keep the process alive', async () => {
    const { clock, forgive } = await spent({ outageHoldMs: 600_000, sweepEveryMs: 0 })
    expect(await forgive()).toBe(true)
    // What belongs to leases ends with the next look at them.
    await elapse(clock, 30_000)
    expect(clock.nextInMs).toBeUndefined()
  })

  test('cannot, and says so, where another worker runs the key or the store refuses', async () => {
    const all = await spent()
    const other = await setUp({ apartFrom: all })
    expect(await all.forgive()).toBe(true)
    const { handler, end } = heldHandler()
    const running = other.dedup.process({ key: 'a' }, handler('a'))
    await settle()
    expect(await all.forgive()).toBe(false)
    end()
    expect((await running).status).toBe('completed')
    all.store.around = () => Promise.reject(new StoreError('ONCEMQ_STORE_REFUSED', 'no'))
    expect(await all.forgive()).toBe(false)
  })
})

describe('a release that the store did not hear', () => {
  test.each([
    ['permanent', fails, 'rejected'],
    ['failed', () => Promise.reject(new Error('no')), 'completed'],
  ] as const)('%s: is told later, in the background', async (_, handler, next) => {
    const { clock, dedup, store } = await setUp()
    const outcome = dedup.process({ key: 'a' }, () => {
      store.around = () => Promise.reject(down)
      return handler()
    })
    await settle()
    expect((await outcome).status).toBe('failed')
    await elapse(clock, 10_000)
    store.works()
    await elapse(clock, 10_000)
    expect(await dedup.inspect('a')).toMatchObject({ state: 'free', attempts: 1 })
    expect((await dedup.process({ key: 'a' }, () => {})).status).toBe(next)
  })

  test('keeps its key in flight until then: an id never stands in a batch twice', async () => {
    const { clock, dedup, store } = await setUp({ leaseMs: 1000, storeTimeoutMs: 1000 })
    const busy = new StoreError('ONCEMQ_STORE_BUSY', 'no free connection')
    void dedup.process({ key: 'a' }, () => {
      store.around = (call, apply) => (call.operation === 'update' ? Promise.reject(busy) : apply())
      throw new Error('no')
    })
    await elapse(clock, 5000)
    const { started, handler } = heldHandler()
    void dedup.process({ key: 'a' }, handler('again'))
    await elapse(clock, 5000)
    expect(started).toEqual([])
    store.works()
    await elapse(clock, 10_000)
    expect(started).toEqual(['again'])
    expect(store.updates('release')).not.toEqual([])
  })

  test('that the store refuses is not repeated past its lease', async () => {
    const { clock, dedup, store } = await setUp({ leaseMs: 4000, storeTimeoutMs: 1000 })
    void dedup.process({ key: 'a' }, () => {
      store.around = (call, apply) =>
        call.operation === 'update' ? Promise.reject(new StoreError('ONCEMQ_STORE_REFUSED', 'no')) : apply()
      throw new Error('no')
    })
    await elapse(clock, 60_000)
    expect(store.updates('release').length).toBeLessThan(6)
    store.works()
    expect(await dedup.process({ key: 'a' }, ({ attempt }) => expect(attempt).toBe(2))).toMatchObject({
      status: 'completed',
    })
  })
})

test('what runs without a record is waited for at close too', async () => {
  const { dedup, store } = await setUp()
  const { handler, end } = heldHandler()
  const running = dedup.process({ key: undefined }, handler('unkeyed'))
  await settle()
  const closing = dedup.close()
  await settle()
  expect(store.callsOf('close')).toEqual([])
  end()
  await closing
  expect(store.callsOf('close')).toHaveLength(1)
  expect((await running).status).toBe('completed')
})

test('a close that is out of time is no lease that was too short: the key is not confirmed', async () => {
  const { clock, dedup, store } = await setUp({ leaseMs: 30_000 })
  const outcome = dedup.process({ key: 'a' }, () => {
    store.around = (call, apply) => (call.operation === 'update' ? Promise.reject(down) : apply())
  })
  await settle()
  const closing = dedup.close({ timeoutMs: 1000 })
  await elapse(clock, 1000)
  await closing
  expect(await outcome).toMatchObject({ status: 'closed', error: { code: 'ONCEMQ_CLOSED' } })
  expect(dedup.counts().unconfirmed).toBe(0)
})

test('what runs past the bound of a close is told of, also without a record', async () => {
  const { clock, dedup, told } = await setUp()
  void dedup.process({ key: undefined }, () => new Promise(() => {}))
  await settle()
  const closing = dedup.close({ timeoutMs: 500 })
  await elapse(clock, 500)
  await closing
  expect(told.at(-1)).toMatchObject({ name: 'warning', message: expect.stringContaining('500 ms') as string })
})

describe('a copy that was sent before its key was forgiven', () => {
  const fails = () => Promise.reject(new Error('no'))

  test('goes on from the starts that it tells, so that copies of one message come to an end', async () => {
    const { dedup } = await setUp({ attemptsMax: 4 })
    const outcome = await dedup.process({ key: 'a', startsBefore: 5, returnsBefore: 3 }, fails)
    expect(outcome).toMatchObject({ status: 'failed', final: false, attempt: 3 })
    expect(await dedup.inspect('a')).toMatchObject({ attempts: 3 })
    const next = await dedup.process({ key: 'a', startsBefore: 2, returnsBefore: 0 }, fails)
    expect(next).toMatchObject({ status: 'failed', final: true, attempt: 4 })
  })

  test('begins anew where the broker may have counted what were no starts', async () => {
    const { dedup } = await setUp({ attemptsMax: 4 })
    const outcome = await dedup.process({ key: 'a', startsBefore: 5 }, fails)
    expect(outcome).toMatchObject({ status: 'failed', final: false, attempt: 1 })
  })
})
