import { describe, expect, test } from 'vitest'

import { StoreError } from '../src/store/index.ts'
import { elapse, settle } from './elapse.ts'
import { heldHandler, setUp } from './set-up.ts'

describe('forget', () => {
  test('lets a done key run again, as if it were new', async () => {
    const { dedup } = await setUp()
    await dedup.process({ key: 'a' }, () => {})
    await dedup.forget('a')
    const outcome = await dedup.process({ key: 'a' }, ({ epoch, attempt }) =>
      expect([epoch, attempt]).toEqual([1, 1]),
    )
    expect(outcome.status).toBe('completed')
  })

  test('is seen by another process once what it remembers is old', async () => {
    const all = await setUp()
    const other = await setUp({ beside: all, doneCacheMs: 5000 })
    await other.dedup.process({ key: 'a' }, () => {})
    await all.dedup.forget('a')
    expect((await other.dedup.process({ key: 'a' }, () => {})).status).toBe('duplicate')
    await elapse(all.clock, 5000)
    expect((await other.dedup.process({ key: 'a' }, () => {})).status).toBe('completed')
  })

  test('of a key that runs: its outcome does not count, and its message comes again', async () => {
    const { dedup } = await setUp()
    const { handler, end } = heldHandler()
    const running = dedup.process({ key: 'a' }, handler('a'))
    await settle()
    await dedup.forget('a')
    end()
    expect((await running).status).toBe('lost')
    expect((await dedup.process({ key: 'a' }, () => {})).status).toBe('completed')
  })

  test('of a key whose completion is on its way is not undone by it', async () => {
    const { dedup, store } = await setUp()
    const told = Promise.withResolvers<void>()
    const forgotten = Promise.withResolvers<void>()
    store.around = async (call, apply) => {
      const answers = await apply()
      if (call.operation === 'update') {
        told.resolve()
        await forgotten.promise
      }
      return answers
    }
    const running = dedup.process({ key: 'a' }, () => {})
    await told.promise
    await dedup.forget('a')
    forgotten.resolve()
    expect((await running).status).toBe('completed')
    let runs = 0
    expect((await dedup.process({ key: 'a' }, () => void (runs += 1))).status).toBe('completed')
    expect(runs).toBe(1)
  })

  test('of a key that nobody knows does nothing', async () => {
    const { dedup } = await setUp()
    await expect(dedup.forget('a')).resolves.toBeUndefined()
  })
})

describe('inspect', () => {
  test('shows what becomes of a key', async () => {
    const { clock, dedup } = await setUp({ leaseMs: 10_000, retentionMs: 60_000 })
    const { handler, end } = heldHandler()
    expect(await dedup.inspect('a')).toBeUndefined()
    const running = dedup.process({ key: 'a' }, handler('a'))
    await elapse(clock, 1000)
    expect(await dedup.inspect('a')).toMatchObject({
      state: 'running',
      epoch: 1,
      attempts: 1,
      leaseRemainingMs: 9000,
    })
    end()
    await running
    expect(await dedup.inspect('a')).toMatchObject({ state: 'done', expiresInMs: 60_000, label: 'billing/a' })
  })

  test('asks for the same record as a delivery', async () => {
    const { dedup } = await setUp()
    for (const key of ['a ', '\0', '\ud83d']) {
      await dedup.process({ key }, () => {})
      expect(await dedup.inspect(key)).toMatchObject({ state: 'done' })
      expect(await dedup.inspect(`${key}x`)).toBeUndefined()
    }
  })
})

describe.each(['forget', 'inspect'] as const)('%s', (operation) => {
  test.each(['', 7, null, {}])('refuses the key %o', async (key) => {
    const { dedup } = await setUp()
    await expect(dedup[operation](key as string)).rejects.toMatchObject({ code: 'ONCEMQ_KEY_INVALID' })
  })

  test('says that the store is down', async () => {
    const { dedup, store } = await setUp()
    const down = new StoreError('ONCEMQ_STORE_UNAVAILABLE', 'down')
    store.around = () => Promise.reject(down)
    await expect(dedup[operation]('a')).rejects.toBe(down)
  })
})
