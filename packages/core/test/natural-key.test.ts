import { describe, expect, test } from 'vitest'
import type { HandlerContext } from '../src/index.ts'
import { createDeduplicator, MemoryStore, naturalKey, PermanentError } from '../src/index.ts'
import type { UniqueKey } from '../src/store/index.ts'
import { StoreError } from '../src/store/index.ts'
import { VirtualClock } from '../src/testing/index.ts'
import { settle } from './elapse.ts'
import { LedgerStore } from './transactional-store.ts'
import type { Ledger } from './transactional-store.ts'

/** A driver's errors, by a field that nothing else has. */
const duplicateKeyOf = (error: unknown) => (error as { violated?: string[] } | undefined)?.violated
const violation = (...violated: string[]) => Object.assign(new Error('duplicate key'), { violated })

/** A ledger whose driver reports on its transactions what a test throws there. */
class KeyedLedger extends LedgerStore {
  readonly keys = new Set(['orders_pkey'])

  uniqueKey(name: string): UniqueKey<Ledger> {
    return {
      check: async () => {
        if (!this.keys.has(name)) throw new StoreError('ONCEMQ_TABLE_UNFIT', 'no such key')
        return []
      },
      isViolatedBy: (thrown) => duplicateKeyOf(thrown)?.includes(name) === true,
    }
  }
}

async function setUp(constraint = 'orders_pkey') {
  const clock = new VirtualClock()
  const store = new KeyedLedger(clock)
  const strategy = naturalKey({ constraint })
  const dedup = createDeduplicator<Ledger>({
    store,
    consumerGroup: 'orders',
    strategy,
    clock,
    attemptsMax: 2,
  })
  await dedup.open()
  store.calls.length = 0
  store.begun = 0
  return { clock, store, dedup }
}

const writes = ({ tx }: HandlerContext<Ledger>): void => void tx.words.push('order')

describe('in a transaction of the store', () => {
  test('commits what the handler wrote, and nothing of ours', async () => {
    const { dedup, store } = await setUp()
    const outcome = await dedup.process({ key: 'a' }, writes)
    expect(outcome).toEqual({ status: 'completed', result: undefined, protected: true })
    expect([store.calls, store.committed, store.begun]).toEqual([[], ['order'], 1])
  })

  test('a constraint that is only found at the commit is a duplicate too', async () => {
    const { dedup, store } = await setUp()
    store.commit = () => {
      throw new StoreError('ONCEMQ_STORE_REFUSED', 'a constraint is violated', {
        cause: violation('orders_pkey'),
      })
    }
    expect((await dedup.process({ key: 'a' }, writes)).status).toBe('duplicate')
    store.commit = () => {
      throw new StoreError('ONCEMQ_STORE_REFUSED', 'a constraint is violated', { cause: violation('other') })
    }
    expect((await dedup.process({ key: 'a' }, writes)).status).toBe('failed')
  })

  test('a handler that has ended its transaction by itself is told, whatever stands behind', async () => {
    const { dedup, store } = await setUp()
    store.commit = () => {
      throw new StoreError('ONCEMQ_TRANSACTION_ENDED', 'ended', { cause: violation('orders_pkey') })
    }
    expect(await dedup.process({ key: 'a' }, writes)).toMatchObject({ reason: 'transaction-ended' })
  })

  test('a commit whose outcome is not known is run again, with no attempt counted', async () => {
    const { dedup, store, clock } = await setUp()
    store.commit = () => Promise.reject(new StoreError('ONCEMQ_COMMIT_UNKNOWN', 'cut'))
    const outcome = await dedup.process({ key: 'a' }, writes)
    expect(outcome).toMatchObject({ status: 'store-down', error: { code: 'ONCEMQ_COMMIT_UNKNOWN' } })
    expect(dedup.outage).toMatchObject({ code: 'ONCEMQ_COMMIT_UNKNOWN' })
    store.commit = (apply) => apply()
    const next = dedup.process({ key: 'a' }, writes)
    clock.advance(1000)
    await settle()
    expect((await next).status).toBe('completed')
    expect([dedup.outage, store.committed]).toEqual([undefined, ['order']])
  })

  test('a connection that is lost each time, while the store works, counts by the broker', async () => {
    const { dedup, store } = await setUp()
    const error = new StoreError('ONCEMQ_STORE_UNAVAILABLE', 'cut')
    let isCut = false
    store.commit = (apply) => (isCut ? Promise.reject(error) : apply()).finally(() => (isCut = false))
    const deliver = (startsBefore: number) =>
      dedup.process({ key: 'a', startsBefore }, () => void (isCut = true))
    expect(await deliver(0)).toEqual({ status: 'failed', final: false, error, attempt: 1 })
    expect(await deliver(1)).toEqual({ status: 'failed', final: false, error, attempt: 2 })
    expect(await deliver(2)).toMatchObject({ status: 'failed', final: true, error, reason: 'attempts' })
    expect(dedup.outage).toBeUndefined()
  })

  test('a PermanentError is final, and a constraint of another name is a failure', async () => {
    const { dedup } = await setUp()
    const permanent = dedup.process({ key: 'a' }, () => Promise.reject(new PermanentError('no')))
    expect(await permanent).toMatchObject({ status: 'failed', final: true, reason: 'permanent' })
    const other = dedup.process({ key: 'a' }, () => Promise.reject(violation('orders_ref')))
    expect(await other).toMatchObject({ status: 'failed', final: false })
  })

  test('claims are refused, as are stores without transactions or keys', async () => {
    const { dedup } = await setUp()
    await expect(dedup.claim({ key: 'a' })).rejects.toMatchObject({ code: 'ONCEMQ_CONSUMER_UNSAFE' })
    const strategy = naturalKey({ constraint: 'orders_pkey' })
    const memory = () => createDeduplicator({ store: new MemoryStore(), consumerGroup: 'orders', strategy })
    expect(memory).toThrow(/expected a store with transactions for 'naturalKey'/)
    const ledger = () =>
      createDeduplicator<Ledger>({
        store: new LedgerStore(new VirtualClock()),
        consumerGroup: 'orders',
        strategy,
      })
    expect(ledger).toThrow(/expected a store that knows its unique keys/)
    await expect(setUp('orders_pkay')).rejects.toMatchObject({ code: 'ONCEMQ_TABLE_UNFIT' })
  })
})

describe('with a client of its own', () => {
  const strategy = naturalKey({ constraint: ['orders_pkey', 'orders_ref'], duplicateKeyOf })

  test.each([
    [violation('orders_pkey'), 'duplicate'],
    [violation('public.orders_pkey', 'orders_ref'), 'duplicate'],
    [new Error('wrapped', { cause: violation('orders_pkey') }), 'duplicate'],
    [violation('customers_pkey'), 'failed'],
    [new Error('orders_pkey'), 'failed'],
    [{ violated: ['orders_pkey'] }, 'duplicate'],
    [{ cause: violation('orders_pkey') }, 'failed'],
  ])('%o: %s', async (thrown, status) => {
    const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'orders', strategy })
    // oxlint-disable-next-line typescript/prefer-promise-reject-errors
    const outcome = await dedup.process({ key: 'a' }, () => Promise.reject(thrown))
    expect([outcome.status, dedup.counts().duplicate]).toEqual([status, status === 'duplicate' ? 1 : 0])
    await dedup.close()
  })

  test('run answers what the work answers, and a duplicate without it', async () => {
    const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'orders', strategy })
    expect(await dedup.run('a', () => 42)).toEqual({ status: 'completed', value: 42 })
    const again = dedup.run('a', () => Promise.reject(violation('orders_pkey')))
    expect(await again).toEqual({ status: 'duplicate', value: undefined })
    await dedup.close()
  })
})

test.each([[undefined], [''], [[]], [['a', '']], [7], ['x'.repeat(301)]])(
  'constraint %j is refused',
  (constraint) => {
    const make = () => naturalKey({ constraint: constraint as string })
    expect(make).toThrow(expect.objectContaining({ code: 'ONCEMQ_OPTION_INVALID' }))
  },
)
