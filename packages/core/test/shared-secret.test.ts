import { describe, expect, test } from 'vitest'

import { StoreError } from '../src/store/index.ts'
import { elapse, settle } from './elapse.ts'
import { setUp } from './set-up.ts'

describe('the secret of the workers', () => {
  test('is the same for all of them, whatever their groups, and made once', async () => {
    const all = await setUp()
    const others = await Promise.all(
      ['billing', 'shipping'].map((consumerGroup) => setUp({ apartFrom: all, consumerGroup })),
    )
    const secrets = Promise.all([all, ...others].map(({ dedup }) => dedup.secret()))
    await elapse(all.clock, 1000)
    const [first, ...rest] = (await secrets).map((each) => Buffer.from(each).toString('hex'))
    expect(first).toMatch(/^[0-9a-f]{64}$/)
    expect(rest).toEqual([first, first])
    all.store.calls.length = 0
    await all.dedup.secret()
    expect(all.store.calls).toEqual([])
  })

  test('is of one store alone', async () => {
    const [first, second] = await Promise.all([
      setUp({ apartFrom: await setUp() }),
      setUp({ apartFrom: await setUp() }),
    ])
    expect(Buffer.from(await first.dedup.secret())).not.toEqual(Buffer.from(await second.dedup.secret()))
  })

  test('is reached by no key, whoever chooses it', async () => {
    const { dedup, store } = await setUp({ consumerGroup: 'x' })
    await dedup.secret()
    const id = store.callsOf('claim')[0]?.batch[0]?.id
    for (const key of ['oncemq secret', 'internal/0:-13:oncemq secret']) {
      expect((await dedup.process({ key }, () => {})).status).toBe('completed')
    }
    expect(store.callsOf('claim').filter(({ batch }) => batch[0]?.id === id)).toHaveLength(1)
  })

  test('is asked for again after a failure', async () => {
    const { dedup, store } = await setUp()
    const down = new StoreError('ONCEMQ_STORE_UNAVAILABLE', 'down')
    store.around = () => Promise.reject(down)
    await expect(dedup.secret()).rejects.toBe(down)
    store.works()
    expect(await dedup.secret()).toHaveLength(32)
  })

  test('of a worker that ended while it made one is made by another', async () => {
    const all = await setUp()
    const other = await setUp({ apartFrom: all })
    all.store.around = (call, apply) => (call.operation === 'update' ? new Promise(() => {}) : apply())
    void all.dedup.secret().catch(() => undefined)
    await settle()
    const secret = other.dedup.secret()
    await elapse(all.clock, 11_000)
    expect(await secret).toHaveLength(32)
  })

  test('that is never there ends in an error', async () => {
    const { clock, dedup, store } = await setUp()
    store.around = () => Promise.resolve([{ status: 'busy', epoch: 1, leaseRemainingMs: 1 }])
    const secret = dedup.secret().catch((error: unknown) => error)
    await elapse(clock, 60_000)
    expect(await secret).toMatchObject({ code: 'ONCEMQ_STORE_BROKEN' })
    expect(store.callsOf('claim').length).toBeLessThan(300)
  })
})
