import { describe, expect, test } from 'vitest'

import { createDeduplicator, PermanentError } from '../src/index.ts'
import { StoreError } from '../src/store/index.ts'
import { VirtualClock } from '../src/testing/index.ts'
import type { EventName, HandlerContext } from '../src/index.ts'
import { elapse, settle } from './elapse.ts'
import { countedRandom, GROUP } from './set-up.ts'
import { LedgerStore } from './transactional-store.ts'
import type { Ledger } from './transactional-store.ts'

const LEASE_MS = 10_000
const TIMEOUT_MS = 2000
const conflict = new StoreError('ONCEMQ_TRANSACTION_CONFLICT', 'deadlock')
const unknown = new StoreError('ONCEMQ_COMMIT_UNKNOWN', 'cut')

interface Given {
  onMissingKey?: 'process'
  fingerprint?: boolean
  onConflict?: 'process'
  renewsInTransaction?: boolean
  handlerTimeoutMs?: number
  attemptsMax?: number
}

async function setUp({ renewsInTransaction, ...options }: Given = {}) {
  const clock = new VirtualClock()
  const store = new LedgerStore(clock, renewsInTransaction)
  const random = countedRandom()
  const another = () =>
    createDeduplicator<Ledger>({
      store,
      consumerGroup: GROUP,
      strategy: 'transactional',
      clock,
      random,
      doneCacheMax: 0,
      leaseMs: LEASE_MS,
      storeTimeoutMs: TIMEOUT_MS,
      busyTimeoutMs: 0,
      ...options,
    })
  const dedup = another()
  await dedup.open()
  store.calls.length = 0
  store.begun = 0
  return { clock, store, dedup, another }
}

function writes(word: string) {
  return ({ tx }: HandlerContext<Ledger>): Buffer => {
    tx.words.push(word)
    return Buffer.from(word)
  }
}

test.each([
  ['transactional', false],
  ['lease', true],
] as const)('the claims of strategy %s need to be durable: %s', async (strategy, isDurable) => {
  const store = new LedgerStore(new VirtualClock())
  const dedup = createDeduplicator({ store, consumerGroup: GROUP, strategy } as never)
  await dedup.open()
  store.claimOptions.length = 0
  await dedup.process({ key: 'a' }, () => undefined)
  expect(store.claimOptions).toEqual([{ isDurable }])
  await dedup.close()
})

describe('the handler', () => {
  test('writes once, and its result is kept', async () => {
    const { dedup, store } = await setUp()
    expect(await dedup.process({ key: 'a' }, writes('x'))).toMatchObject({
      status: 'completed',
      protected: true,
    })
    const duplicate = await dedup.process({ key: 'a' }, writes('y'))
    expect(duplicate).toMatchObject({ status: 'duplicate', result: new Uint8Array(Buffer.from('x')) })
    expect([store.committed, store.updates('complete')]).toEqual([['x'], []])
  })

  test('that throws has written nothing, and its message comes again', async () => {
    const { dedup, store } = await setUp()
    const outcome = await dedup.process({ key: 'a' }, (context) => {
      writes('x')(context)
      throw new Error('no')
    })
    expect(outcome).toMatchObject({ status: 'failed', attempt: 1, final: false })
    expect((await dedup.process({ key: 'a' }, writes('y'))).status).toBe('completed')
    expect(store.committed).toEqual(['y'])
  })

  test('that will never succeed has written nothing', async () => {
    const { dedup, store } = await setUp()
    const outcome = await dedup.process({ key: 'a' }, () => {
      throw new PermanentError('no')
    })
    expect(outcome).toMatchObject({ status: 'failed', final: true, reason: 'permanent' })
    expect(store.committed).toEqual([])
  })

  test.each([
    ['without a key', {}, { key: undefined }],
    [
      'with the key of another payload',
      { fingerprint: true, onConflict: 'process' },
      { key: 'a', body: Buffer.from('2') },
    ],
  ] as const)('%s gets a transaction too', async (_, options, delivery) => {
    const { dedup, store } = await setUp(options)
    await dedup.process({ key: 'a', body: Buffer.from('1') }, writes('x'))
    const keys: unknown[] = []
    dedup.on('granted', ({ key }) => keys.push(key))
    for (const word of ['y', 'z']) {
      const outcome = await dedup.process(delivery, (context) => {
        keys.push(context.key)
        expect(() => context.childId('receipt')).toThrow('without')
        return writes(word)(context)
      })
      expect(outcome.status).toBe('completed')
    }
    expect(store.committed).toEqual(['x', 'y', 'z'])
    // The claim's own id is nobody's key, and a second start has another.
    expect(keys).toEqual([undefined, undefined, undefined, undefined])
  })
})

describe('exactly one commits', () => {
  test('of two handlers of one key, however they came to run at once', async () => {
    const { clock, dedup, store, another } = await setUp({ handlerTimeoutMs: 0 })
    const other = another()
    await other.open()
    const first = Promise.withResolvers<void>()
    const slow = dedup.process({ key: 'a' }, async (context) => {
      writes('slow')(context)
      await first.promise
    })
    await settle()
    store.around = (call, apply) =>
      call.batch.some((entry) => 'op' in entry && entry.op === 'renew') ? new Promise(() => {}) : apply()
    await elapse(clock, LEASE_MS)
    const quick = await other.process({ key: 'a' }, writes('quick'))
    first.resolve()
    expect([quick.status, (await slow).status]).toEqual(['completed', 'lost'])
    expect(store.committed).toEqual(['quick'])
  })

  test('also when the reply to the commit was lost: the message is then a duplicate', async () => {
    const { dedup, store } = await setUp()
    store.commit = async (apply) => {
      await apply()
      throw unknown
    }
    expect(await dedup.process({ key: 'a' }, writes('x'))).toMatchObject({
      status: 'store-down',
      error: unknown,
    })
    expect((await dedup.process({ key: 'a' }, writes('y'))).status).toBe('duplicate')
    expect(store.committed).toEqual(['x'])
  })

  test('and when it did not, the message runs again, as the same attempt', async () => {
    const { dedup, store } = await setUp()
    store.commit = () => Promise.reject(unknown)
    await dedup.process({ key: 'a' }, writes('x'))
    store.commit = (apply) => apply()
    const outcome = await dedup.process({ key: 'a' }, (context) => {
      expect([context.epoch, context.attempt]).toEqual([2, 1])
      writes('y')(context)
    })
    expect([outcome.status, store.committed]).toEqual(['completed', ['y']])
  })
})

describe('a transaction that the database asks to run again', () => {
  test('is run again, handler included, with growing pauses', async () => {
    const { clock, dedup, store } = await setUp()
    let failures = 3
    store.commit = (apply) => (failures-- > 0 ? Promise.reject(conflict) : apply())
    let runs = 0
    const outcome = dedup.process({ key: 'a' }, (context) => {
      writes(`run ${++runs}`)(context)
    })
    await elapse(clock, 1000)
    expect((await outcome).status).toBe('completed')
    expect(store.committed).toEqual(['run 4'])
  })

  test('fails after eight times: an attempt that counts, and told', async () => {
    const { clock, dedup, store } = await setUp()
    const told: EventName[] = []
    for (const name of ['storeError', 'failed'] as const) dedup.on(name, () => told.push(name))
    store.commit = () => Promise.reject(conflict)
    const outcome = dedup.process({ key: 'a' }, writes('x'))
    await elapse(clock, 5000)
    expect(await outcome).toEqual({ status: 'transaction-conflict', error: conflict, attempt: 1 })
    expect([store.begun, told]).toEqual([8, ['failed']])
    expect(store.updates('release')).toMatchObject([{ attempts: 1 }])
  })
})

test('a server without transactions is noticed at open, before a message is', async () => {
  const clock = new VirtualClock()
  const store = new LedgerStore(clock)
  const refused = new StoreError('ONCEMQ_STORE_REFUSED', 'no transactions')
  store.begin = () => Promise.reject(refused)
  const dedup = createDeduplicator({ store, consumerGroup: GROUP, strategy: 'transactional', clock })
  await expect(dedup.open()).rejects.toBe(refused)
})

describe('a store that stopped', () => {
  test('before the handler: the delivery is given back, and a late begin is rolled back', async () => {
    const { clock, dedup, store } = await setUp()
    const begin = Promise.withResolvers<void>()
    store.begin = () => begin.promise
    let runs = 0
    const outcome = dedup.process({ key: 'a' }, () => void (runs += 1))
    await elapse(clock, LEASE_MS)
    expect(await outcome).toMatchObject({ status: 'store-down', error: { code: 'ONCEMQ_STORE_TIMEOUT' } })
    begin.resolve()
    await settle()
    expect([runs, store.committed]).toEqual([0, []])
  })

  test('a handler waits longer for its turn than for an answer', async () => {
    const { clock, dedup, store } = await setUp()
    const begin = Promise.withResolvers<void>()
    store.begin = () => begin.promise
    const outcome = dedup.process({ key: 'a' }, writes('x'))
    await elapse(clock, TIMEOUT_MS + 1)
    begin.resolve()
    expect((await outcome).status).toBe('completed')
  })

  test('in the commit: given back, and a commit that comes late does not count twice', async () => {
    const { clock, dedup, store } = await setUp()
    const commit = Promise.withResolvers<void>()
    store.commit = async (apply) => {
      await commit.promise
      return apply()
    }
    const outcome = dedup.process({ key: 'a' }, writes('x'))
    await elapse(clock, TIMEOUT_MS)
    expect(await outcome).toMatchObject({ status: 'store-down', error: { code: 'ONCEMQ_COMMIT_UNKNOWN' } })
    commit.resolve()
    await settle()
    store.commit = (apply) => apply()
    expect((await dedup.process({ key: 'a' }, writes('y'))).status).toBe('completed')
    expect(store.committed).toEqual(['y'])
  })

  test('a handler may take longer than the timeout of the store, and its lease is renewed', async () => {
    const { clock, dedup, store } = await setUp({ handlerTimeoutMs: 0 })
    const work = Promise.withResolvers<void>()
    const outcome = dedup.process({ key: 'a' }, async (context) => {
      await work.promise
      writes('x')(context)
    })
    await elapse(clock, 5 * LEASE_MS)
    work.resolve()
    await settle()
    expect([(await outcome).status, store.committed]).toEqual(['completed', ['x']])
    await elapse(clock, LEASE_MS)
    expect(clock.nextInMs ?? Number.POSITIVE_INFINITY).toBeGreaterThan(LEASE_MS)
  })

  test('where a renewal would be a conflict, a handler has one lease to end in', async () => {
    const { clock, dedup, store } = await setUp({ renewsInTransaction: false, handlerTimeoutMs: 0 })
    const work = Promise.withResolvers<void>()
    let signal: AbortSignal | undefined
    const outcome = dedup.process({ key: 'a' }, async (context) => {
      signal = context.signal
      await work.promise
      writes('x')(context)
    })
    await elapse(clock, LEASE_MS / 2)
    expect([store.updates('renew'), signal?.aborted]).toEqual([[], false])
    await elapse(clock, LEASE_MS / 2)
    expect(signal?.aborted).toBe(true)
    work.resolve()
    expect([(await outcome).status, store.committed]).toEqual(['completed', ['x']])
  })
})
