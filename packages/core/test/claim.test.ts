import { describe, expect, test } from 'vitest'

import { OncemqError } from '../src/index.ts'
import { StoreError } from '../src/store/index.ts'
import type { Claim } from '../src/broker/index.ts'
import { elapse, settle } from './elapse.ts'
import { setUp } from './set-up.ts'

const LEASE_MS = 10_000
const down = new StoreError('ONCEMQ_STORE_UNAVAILABLE', 'down')
const refused = new StoreError('ONCEMQ_STORE_REFUSED', 'no')

async function claimed(options: Parameters<typeof setUp>[0] = {}) {
  const all = await setUp({ leaseMs: LEASE_MS, doneCacheMax: 0, ...options })
  const outcome = await all.dedup.claim({ key: 'a' })
  if (outcome.status !== 'granted') throw new Error(`expected a grant, received ${outcome.status}`)
  all.told.length = 0
  /** A worker of its own on the same store, whose clock is the same. */
  const other = await setUp({ beside: all, leaseMs: LEASE_MS, doneCacheMax: 0, busyTimeoutMs: 0 })
  all.store.calls.length = 0
  return { ...all, claim: outcome.claim, other: other.dedup }
}

/** Fails updates alone. */
function failUpdates(error: Error) {
  return (call: { operation: string }, apply: () => Promise<unknown>): Promise<unknown> =>
    call.operation === 'update' ? Promise.reject(error) : apply()
}

async function stateOf(all: Awaited<ReturnType<typeof claimed>>) {
  const [record] = await all.store.memory.inspect([all.id('a')])
  return record?.state
}

describe('complete', () => {
  test('makes the key done, with its result for duplicates', async () => {
    const all = await claimed()
    expect(await all.claim.complete(Buffer.from('receipt'))).toBe('completed')
    expect(await all.other.claim({ key: 'a' })).toEqual({
      status: 'duplicate',
      result: new Uint8Array(Buffer.from('receipt')),
    })
  })

  test('a second time, and a release after it, change nothing', async () => {
    const { claim, store } = await claimed()
    expect(await Promise.all([claim.complete(), claim.complete()])).toEqual(['completed', 'completed'])
    await claim.release('failed')
    expect(await claim.complete()).toBe('completed')
    expect(store.callsOf('update')).toHaveLength(1)
  })

  test('after a release is lost, and tells the store nothing', async () => {
    const { claim, store } = await claimed()
    await claim.release('failed')
    expect(await claim.complete()).toBe('lost')
    expect(store.updates('complete')).toEqual([])
  })

  test('is lost when another worker took over', async () => {
    const all = await claimed()
    all.store.around = failUpdates(down)
    await elapse(all.clock, LEASE_MS)
    all.store.works()
    const taken = await all.other.claim({ key: 'a' })
    expect(taken).toMatchObject({ status: 'granted', claim: { epoch: 2, attempt: 2 } })
    expect(await all.claim.complete()).toBe('lost')
    expect([all.claim.takenOver, all.claim.signal.aborted]).toEqual([true, true])
    expect(all.names()).toContain('lost')
  })

  test('counts after the end of the lease if nobody took over', async () => {
    const all = await claimed()
    all.store.around = failUpdates(down)
    await elapse(all.clock, 2 * LEASE_MS)
    all.store.works()
    expect(await all.claim.complete()).toBe('completed')
  })
})

describe('complete while the store is down', () => {
  test('waits for it within the lease, and is completed', async () => {
    const all = await claimed()
    all.store.around = () => Promise.reject(down)
    const completion = all.claim.complete()
    await elapse(all.clock, 5000)
    all.store.works()
    await elapse(all.clock, 4000)
    expect(await completion).toBe('completed')
    expect(all.names()).toEqual(expect.arrayContaining(['outage', 'recovered', 'completed']))
  })

  test('its lease is not renewed meanwhile: it is over when the wait is', async () => {
    const all = await claimed()
    all.store.around = failUpdates(down)
    void all.claim.complete()
    await elapse(all.clock, 3 * LEASE_MS)
    expect(all.store.updates('renew')).toEqual([])
  })

  test('is unconfirmed when the lease ends, not before, and goes on in the background', async () => {
    const all = await claimed()
    let completion: string | undefined
    all.store.around = () => Promise.reject(down)
    void all.claim.complete().then((answer) => (completion = answer))
    await elapse(all.clock, 0.8 * LEASE_MS)
    expect(completion).toBeUndefined()
    await elapse(all.clock, 0.2 * LEASE_MS)
    expect(completion).toBe('unconfirmed')
    all.store.works()
    await elapse(all.clock, 10_000)
    expect(await stateOf(all)).toBe('done')
    expect(all.names().filter((name) => name === 'unconfirmed' || name === 'completed')).toEqual([
      'unconfirmed',
      'completed',
    ])
  })

  test('while it is unconfirmed, a duplicate in the same process does not run', async () => {
    const all = await claimed({ busyTimeoutMs: 20_000 })
    all.store.around = () => Promise.reject(down)
    void all.claim.complete()
    await elapse(all.clock, LEASE_MS)
    all.store.works()
    const duplicate = all.dedup.process({ key: 'a' }, () => {
      throw new Error('ran twice')
    })
    await elapse(all.clock, 10_000)
    expect((await duplicate).status).toBe('duplicate')
  })

  test('while it is unconfirmed, another worker that asks the store first is granted the key', async () => {
    const all = await claimed()
    all.store.around = () => Promise.reject(down)
    const completion = all.claim.complete()
    await elapse(all.clock, LEASE_MS)
    expect(await completion).toBe('unconfirmed')
    all.store.works()
    const outcome = all.other.process({ key: 'a' }, () => {})
    expect((await outcome).status).toBe('completed')
    await elapse(all.clock, 10_000)
    expect(all.names().filter((name) => name === 'lost' || name === 'completed')).toEqual(['lost'])
  })

  test('the background ends: after an hour the key is given up', async () => {
    const all = await claimed()
    all.store.around = () => Promise.reject(down)
    void all.claim.complete()
    await elapse(all.clock, LEASE_MS + 3_600_000)
    all.store.works()
    await elapse(all.clock, 10_000)
    expect(all.names()).toContain('lost')
    expect((await all.dedup.process({ key: 'a' }, () => {})).status).toBe('completed')
  })
})

describe('a result', () => {
  test('that the store refuses does not keep the key from being done', async () => {
    const all = await claimed()
    all.store.around = (call, apply) =>
      call.batch.some((entry) => 'result' in entry && entry.result) ? Promise.reject(refused) : apply()
    expect(await all.claim.complete(Buffer.from('x'))).toBe('completed')
    expect(await stateOf(all)).toBe('done')
    expect(all.told).toContainEqual({
      name: 'warning',
      message: 'the store refused a result; the key is done without it',
    })
  })

  test('that is refused by a store that then goes down is told without it later', async () => {
    const all = await claimed()
    all.store.around = (call) =>
      Promise.reject(call.batch.some((entry) => 'result' in entry && entry.result) ? refused : down)
    const completion = all.claim.complete(Buffer.from('x'))
    await elapse(all.clock, 1000)
    all.store.works()
    await elapse(all.clock, 5000)
    expect(await completion).toBe('completed')
  })

  test.each([
    ['is too large', new Uint8Array(1_048_577), 'received 1048577 bytes'],
    ['is a string', 'done' as unknown as Uint8Array, 'received a string'],
    ['is an object', { secret: 1 } as unknown as Uint8Array, 'received an object (Object)'],
  ])('that %s is left out, with a warning', async (_, result, what) => {
    const { claim, store, told } = await claimed()
    expect(await claim.complete(result)).toBe('completed')
    expect(store.updates('complete')).toMatchObject([{ result: undefined }])
    expect(told).toMatchObject([{ name: 'warning', message: expect.stringContaining(what) as string }, {}])
  })

  test('of up to 1 MiB is kept', async () => {
    const { claim, store } = await claimed()
    const result = new Uint8Array(1_048_576)
    await claim.complete(result)
    expect(store.updates('complete')).toMatchObject([{ result }])
  })
})

describe('release', () => {
  test.each([
    ['failed', 1, 2],
    ['unstarted', 0, 1],
    ['permanent', 0, 1],
  ] as const)(
    '%s: the record keeps %d attempts, the next start is number %d',
    async (reason, attempts, next) => {
      const all = await claimed()
      await all.claim.release(reason)
      expect(all.store.updates('release')).toMatchObject([{ attempts }])
      expect(await all.other.claim({ key: 'a' })).toMatchObject({ claim: { epoch: 2, attempt: next } })
    },
  )

  test.each([
    ['is down', down],
    ['refuses', refused],
  ])('never rejects when the store %s, is tried once, and frees the key here', async (_, error) => {
    const all = await claimed()
    all.store.around = failUpdates(error)
    await all.claim.release('failed')
    expect(all.store.updates('release')).toHaveLength(1)
    all.store.works()
    const next = all.dedup.claim({ key: 'a' })
    await elapse(all.clock, LEASE_MS + 1000)
    expect(await next).toMatchObject({ status: 'granted', claim: { epoch: 2 } })
  })

  test('twice gives back once', async () => {
    const { claim, store } = await claimed()
    await Promise.all([claim.release('failed'), claim.release('permanent')])
    expect(store.updates('release')).toHaveLength(1)
  })

  test('of what another worker took over changes nothing, and says so', async () => {
    const all = await claimed()
    all.store.around = failUpdates(down)
    await elapse(all.clock, LEASE_MS)
    all.store.works()
    await all.other.claim({ key: 'a' })
    await all.claim.release('failed')
    expect([all.claim.takenOver, await stateOf(all)]).toEqual([true, 'running'])
    expect(all.names()).toContain('lost')
  })
})

describe('a claim that has ended', () => {
  test.each(['complete', 'release'] as const)('by %s is never renewed again', async (end) => {
    const all = await claimed()
    await (end === 'complete' ? all.claim.complete() : all.claim.release('failed'))
    await elapse(all.clock, 5 * LEASE_MS)
    expect(all.store.updates('renew')).toEqual([])
  })

  test('while its renewal was on the way stays ended', async () => {
    const all = await claimed()
    const renewal = Promise.withResolvers<void>()
    all.store.around = async (call, apply) => {
      if (call.batch.some((entry) => 'op' in entry && entry.op === 'renew')) await renewal.promise
      return apply()
    }
    await elapse(all.clock, LEASE_MS / 3 + 100)
    expect(await all.claim.complete()).toBe('completed')
    renewal.resolve()
    await settle()
    expect([await stateOf(all), all.names().includes('lost')]).toEqual(['done', false])
  })
})

describe('an answer to a claim that comes when its lease is as good as over', () => {
  async function late(times: number) {
    const all = await setUp({ leaseMs: 1000, storeTimeoutMs: 1000 })
    let left = times
    all.store.around = async (call, apply) => {
      const answers = await apply()
      if (call.operation === 'claim' && left-- > 0) all.clock.advance(950)
      return answers
    }
    return all
  }

  test.each([1, 2])(
    '%d times: is asked for again with the same claim id, as the same start',
    async (times) => {
      const { dedup, store } = await late(times)
      const outcome = await dedup.claim({ key: 'a' })
      expect(outcome).toMatchObject({ status: 'granted', claim: { epoch: 1, attempt: 1 } })
      expect(outcome.status === 'granted' && outcome.claim.signal.aborted).toBe(false)
      const ids = store.callsOf('claim').map(({ batch }) => batch[0]?.claimId)
      expect([ids.length, new Set(ids).size]).toEqual([times + 1, 1])
    },
  )

  test('3 times: is given back as not started, and the message comes again later', async () => {
    const { dedup, store } = await late(3)
    const outcome = await dedup.process({ key: 'a' }, () => {
      throw new Error('ran')
    })
    expect(outcome).toMatchObject({ status: 'store-down', error: { code: 'ONCEMQ_LEASE_LOST' } })
    expect(store.updates('release')).toMatchObject([{ attempts: 0 }])
    expect((await dedup.process({ key: 'a' }, () => {})).status).toBe('completed')
  })
})

test('a claim says which delivery it is for', async () => {
  const { claim } = await claimed()
  const { key, epoch, attempt, signal }: Claim = claim
  expect({ key, epoch, attempt, aborted: signal.aborted }).toEqual({
    key: 'a',
    epoch: 1,
    attempt: 1,
    aborted: false,
  })
  expect(new OncemqError('ONCEMQ_LEASE_LOST', '').retryable).toBe(true)
})
