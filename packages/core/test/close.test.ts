import { describe, expect, test } from 'vitest'

import { createDeduplicator } from '../src/index.ts'
import { StoreError } from '../src/store/index.ts'
import { elapse, settle } from './elapse.ts'
import type { ScriptedStore } from './scripted-store.ts'
import { heldHandler, setUp } from './set-up.ts'

const down = new StoreError('ONCEMQ_STORE_UNAVAILABLE', 'down')

/** What a promise has come to so far. */
function track(promise: Promise<unknown>): { done: boolean } {
  const tracked = { done: false }
  void promise.then(() => (tracked.done = true))
  return tracked
}

describe('close', () => {
  test('waits for what runs, lets nothing more in, and closes the store last', async () => {
    const { dedup, store } = await setUp()
    const { handler, end } = heldHandler()
    const running = dedup.process({ key: 'a' }, handler('a'))
    await settle()
    const closing = track(dedup.close())
    expect(await dedup.process({ key: 'b' }, () => {})).toMatchObject({
      status: 'closed',
      error: { code: 'ONCEMQ_CLOSED' },
    })
    await settle()
    expect(closing.done).toBe(false)
    end()
    expect((await running).status).toBe('completed')
    await settle()
    expect(closing.done).toBe(true)
    expect(store.calls.at(-1)?.operation).toBe('close')
  })

  test('is idempotent, and works with `await using`', async () => {
    const { dedup, store } = await setUp()
    const closing = dedup.close()
    expect(dedup.close({ timeoutMs: 0 })).toBe(closing)
    await dedup[Symbol.asyncDispose]()
    expect(store.callsOf('close')).toHaveLength(1)
  })

  test('at its bound, tells the handlers that still run to stop, and loses nothing', async () => {
    const { clock, dedup, told } = await setUp({ leaseMs: 10_000 })
    let aborted = false
    void dedup.process({ key: 'a' }, ({ signal }) => {
      signal.addEventListener('abort', () => (aborted = true))
      return new Promise(() => {})
    })
    await settle()
    const closing = track(dedup.close({ timeoutMs: 5000 }))
    await elapse(clock, 4999)
    expect([closing.done, aborted]).toEqual([false, false])
    await elapse(clock, 1)
    expect([closing.done, aborted]).toEqual([true, true])
    expect(told).toContainEqual({
      name: 'warning',
      message: 'close: some handlers still run after 5000 ms; their messages are delivered again',
    })
    await elapse(clock, 60_000)
    expect(clock.nextInMs).toBeUndefined()
  })

  test.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])('refuses a bound of %d', async (timeoutMs) => {
    const { dedup } = await setUp()
    expect(() => dedup.close({ timeoutMs })).toThrow('timeoutMs: expected an integer')
  })

  test('ends also when the store does not', async () => {
    const { clock, dedup, store } = await setUp()
    store.around = (call, apply) => (call.operation === 'close' ? new Promise(() => {}) : apply())
    const closing = dedup.close()
    const failure = closing.catch((error: unknown) => error)
    await elapse(clock, 30_000)
    expect(await failure).toMatchObject({ code: 'ONCEMQ_STORE_TIMEOUT' })
  })
})

describe('what waits when it closes', () => {
  test('for a delivery of this process: is given back', async () => {
    const { clock, dedup } = await setUp()
    const { handler } = heldHandler()
    void dedup.process({ key: 'a' }, handler('first'))
    const second = dedup.process({ key: 'a' }, handler('second'))
    await settle()
    void dedup.close({ timeoutMs: 100 })
    expect((await second).status).toBe('closed')
    await elapse(clock, 1000)
  })

  test('for another process: is given back', async () => {
    const all = await setUp()
    const other = await setUp({ beside: all })
    const { handler } = heldHandler()
    void all.dedup.process({ key: 'a' }, handler('first'))
    await settle()
    const second = other.dedup.process({ key: 'a' }, handler('second'))
    await settle()
    const closing = other.dedup.close()
    expect((await second).status).toBe('closed')
    await closing
  })

  test('for a store that is down: is given back, and the probing ends', async () => {
    const { clock, dedup, store } = await setUp()
    store.around = () => Promise.reject(down)
    const outcome = dedup.process({ key: 'a' }, () => {})
    await elapse(clock, 1000)
    const closing = dedup.close().catch(() => undefined)
    expect((await outcome).status).toBe('closed')
    await closing
    expect(clock.nextInMs).toBeUndefined()
  })

  test('for the answer to its claim: is granted, not started, and given back to others at once', async () => {
    const { dedup, store, id } = await setUp()
    const answer = Promise.withResolvers<void>()
    store.around = async (call, apply) => {
      const answers = await apply()
      if (call.operation === 'claim') await answer.promise
      return answers
    }
    const outcome = dedup.process({ key: 'a' }, () => expect.unreachable())
    await settle()
    const closing = dedup.close()
    answer.resolve()
    expect(await outcome).toMatchObject({ status: 'closed', error: { code: 'ONCEMQ_CLOSED' } })
    await closing
    expect(await store.memory.inspect([id('a')])).toMatchObject([{ state: 'free', attempts: 0 }])
  })

  test('for its first opening: is given back', async () => {
    const all = await setUp()
    const opening = Promise.withResolvers<void>()
    all.store.around = async (call, apply) => {
      if (call.operation === 'open') await opening.promise
      return apply()
    }
    const dedup = createDeduplicator({ store: all.store, consumerGroup: 'late', clock: all.clock })
    const outcome = dedup.process({ key: 'a' }, () => expect.unreachable())
    await settle()
    const closing = dedup.close()
    opening.resolve()
    expect((await outcome).status).toBe('closed')
    await closing
  })

  test('for its completion to be told: goes on until the bound', async () => {
    const { clock, dedup, store } = await setUp()
    const outcome = dedup.process({ key: 'a' }, () => {
      store.around = () => Promise.reject(down)
    })
    await settle()
    const closing = dedup.close()
    await elapse(clock, 2000)
    store.works()
    await elapse(clock, 5000)
    expect((await outcome).status).toBe('completed')
    await closing
  })
})

describe('after close', () => {
  test.each([
    ['open', (dedup: Opened) => dedup.open()],
    ['forget', (dedup: Opened) => dedup.forget('a')],
    ['inspect', (dedup: Opened) => dedup.inspect('a')],
    ['run', (dedup: Opened) => dedup.run('a', () => {})],
  ])('%s says so', async (_, call) => {
    const { dedup } = await setUp()
    await dedup.close()
    await expect(call(dedup)).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
  })

  test('nothing runs without protection either', async () => {
    const { dedup } = await setUp({ onStoreDown: 'process' })
    await dedup.close()
    for (const key of ['a', undefined, '']) {
      expect((await dedup.process({ key }, () => expect.unreachable())).status).toBe('closed')
      expect((await dedup.claim({ key })).status).toBe('closed')
    }
  })

  test('a claim that is still held ends without harm', async () => {
    const { clock, dedup, store } = await setUp()
    const outcome = await dedup.claim({ key: 'a' })
    const closing = dedup.close({ timeoutMs: 10 })
    await elapse(clock, 10)
    await closing
    store.around = () => Promise.reject(down)
    if (outcome.status !== 'granted') throw new Error('expected a grant')
    expect(await outcome.claim.complete()).toBe('closed')
    await elapse(clock, 10_000)
    expect(clock.nextInMs).toBeUndefined()
  })
})

type Opened = Awaited<ReturnType<typeof setUp>>['dedup']

describe('a store that is closed by hand', () => {
  const CLOSED = { status: 'closed', error: { code: 'ONCEMQ_CLOSED' } }
  const closedStore: ScriptedStore['around'] = async (call, apply) => {
    if (call.operation === 'close') return apply()
    throw new StoreError('ONCEMQ_CLOSED', 'ToyStore: expected an open store')
  }

  test('is no outage: nothing waits for it, and nobody asks it again', async () => {
    const { clock, dedup, names, store } = await setUp()
    store.around = closedStore
    expect(await dedup.process({ key: 'a' }, () => expect.unreachable())).toMatchObject(CLOSED)
    expect(await dedup.claim({ key: 'b' })).toMatchObject(CLOSED)
    const asked = store.calls.length
    await elapse(clock, 3_600_000)
    expect(store.calls).toHaveLength(asked)
    expect(names()).not.toContain('outage')
    await dedup.close()
  })

  test('ends an outage, and all that wait for it', async () => {
    const { clock, dedup, store } = await setUp()
    store.around = () => Promise.reject(down)
    const held = dedup.process({ key: 'a' }, () => expect.unreachable())
    await elapse(clock, 10)
    const available = dedup.available()
    store.around = closedStore
    await elapse(clock, 5000)
    expect(await held).toMatchObject(CLOSED)
    expect(await available).toBe(false)
    await dedup.close()
  })

  test('while a handler runs, leaves its message unconfirmed for no time, and unacked', async () => {
    const { dedup, store } = await setUp()
    const outcome = dedup.process({ key: 'a' }, async () => void (store.around = closedStore))
    expect(await outcome).toMatchObject(CLOSED)
    await dedup.close()
  })

  test.each(['hold', 'process'] as const)('whatever onStoreDown says: %s', async (onStoreDown) => {
    const { dedup, store } = await setUp({ onStoreDown })
    store.around = closedStore
    expect(await dedup.process({ key: 'a' }, () => expect.unreachable())).toMatchObject(CLOSED)
    await dedup.close()
  })
})
