import { describe, expect, test } from 'vitest'

import { createDeduplicator, OncemqError } from '../src/index.ts'
import type { EventName } from '../src/index.ts'
import { StoreError } from '../src/store/index.ts'
import { VirtualClock } from '../src/testing/index.ts'
import { elapse, settle } from './elapse.ts'
import { countedRandom, GROUP } from './set-up.ts'
import { LedgerStore } from './transactional-store.ts'
import type { Ledger } from './transactional-store.ts'

const LEASE_MS = 10_000
const conflict = new StoreError('ONCEMQ_TRANSACTION_CONFLICT', 'deadlock')

/** While its process is stalled, time goes on, and what is answered is heard before its timers. */
class StallingClock extends VirtualClock {
  #stalledMs = 0

  stall(byMs: number): void {
    this.#stalledMs += byMs
  }

  override monotonicMs(): number {
    return super.monotonicMs() + this.#stalledMs
  }
}

async function setUp(options: { attemptsMax?: number; handlerTimeoutMs?: number } = {}) {
  const clock = new StallingClock()
  const store = new LedgerStore(clock)
  const dedup = createDeduplicator<Ledger>({
    store,
    consumerGroup: GROUP,
    strategy: 'transactional',
    clock,
    random: countedRandom(),
    doneCacheMax: 0,
    leaseMs: LEASE_MS,
    storeTimeoutMs: 2000,
    busyTimeoutMs: 0,
    sweepEveryMs: 0,
    ...options,
  })
  const told: EventName[] = []
  for (const name of ['storeError', 'failed', 'lost', 'warning'] as const)
    dedup.on(name, () => told.push(name))
  await dedup.open()
  store.calls.length = 0
  store.begun = 0
  return { clock, store, dedup, told }
}

describe('what a handler throws', () => {
  test.each([
    ['the conflict of another deduplicator', new StoreError('ONCEMQ_TRANSACTION_CONFLICT', 'elsewhere')],
    ['the outage of another deduplicator', new StoreError('ONCEMQ_STORE_UNAVAILABLE', 'elsewhere')],
    ['the lost commit of another deduplicator', new StoreError('ONCEMQ_COMMIT_UNKNOWN', 'elsewhere')],
    ['the ended transaction of another', new OncemqError('ONCEMQ_TRANSACTION_ENDED', 'elsewhere')],
    ['the closing of another deduplicator', new OncemqError('ONCEMQ_CLOSED', 'elsewhere')],
    ['an object like a deadlock of MySQL', { errno: 1213, code: 'ER_LOCK_DEADLOCK', sqlState: '40001' }],
    ['an object like a conflict of PostgreSQL', { code: '40P01', severity: 'ERROR' }],
    ['an object like one of ours', { code: 'ONCEMQ_TRANSACTION_CONFLICT', retryable: true }],
    ['nothing', undefined],
  ])('%s: a failure like any other, that counts', async (_, error) => {
    const { clock, store, dedup } = await setUp({ attemptsMax: 2 })
    let runs = 0
    const deliver = async () => {
      const outcome = dedup.process({ key: 'a' }, () => {
        runs += 1
        // oxlint-disable-next-line typescript/only-throw-error -- Handlers throw what they like.
        throw error
      })
      await elapse(clock, 10_000)
      return outcome
    }
    expect(await deliver()).toEqual({ status: 'failed', final: false, error, attempt: 1 })
    expect(await deliver()).toMatchObject({ status: 'failed', final: true, error, reason: 'attempts' })
    expect([runs, store.begun, store.committed]).toEqual([2, 2, []])
  })
})

describe('a conflict that never ends', () => {
  test('is eight transactions and one attempt, each time, until none is left', async () => {
    const { clock, store, dedup } = await setUp({ attemptsMax: 2 })
    store.commit = () => Promise.reject(conflict)
    let runs = 0
    const deliver = async () => {
      const outcome = dedup.process({ key: 'a' }, () => void (runs += 1))
      await elapse(clock, 5000)
      return outcome
    }
    expect(await deliver()).toEqual({ status: 'transaction-conflict', error: conflict, attempt: 1 })
    expect(await deliver()).toMatchObject({ status: 'failed', final: true, reason: 'attempts', attempt: 2 })
    expect(await deliver()).toMatchObject({ status: 'rejected', reason: 'attempts' })
    expect([runs, store.begun]).toEqual([16, 16])
  })

  test('whose next transaction the store refuses is no attempt: its handler did not run', async () => {
    const { clock, store, dedup } = await setUp({ attemptsMax: 1 })
    const refused = new StoreError('ONCEMQ_STORE_REFUSED', 'no right to write')
    store.commit = () => Promise.reject(conflict)
    store.begin = () => (store.begun > 1 ? Promise.reject(refused) : Promise.resolve())
    const outcome = dedup.process({ key: 'a' }, () => {})
    await elapse(clock, 5000)
    expect(await outcome).toEqual({ status: 'store-refused', error: refused })
    expect(await dedup.inspect('a')).toMatchObject({ state: 'free', attempts: 0 })
  })

  test('is not run again once the lease is lost', async () => {
    const { clock, store, dedup, told } = await setUp({ handlerTimeoutMs: 0 })
    const warnings: string[] = []
    dedup.on('warning', ({ message }) => warnings.push(message))
    store.commit = () => Promise.reject(conflict)
    store.around = (call, apply) =>
      call.batch.some((entry) => 'op' in entry && entry.op === 'renew') ? new Promise(() => {}) : apply()
    const work = Promise.withResolvers<void>()
    let runs = 0
    const outcome = dedup.process({ key: 'order-7' }, async () => {
      runs += 1
      await work.promise
    })
    await elapse(clock, LEASE_MS)
    work.resolve()
    await elapse(clock, 5000)
    expect([(await outcome).status, runs]).toEqual(['lost', 1])
    expect(told).toContain('warning')
    // Not of which key, which is data: that says the event `lost`.
    expect(warnings).toEqual([
      expect.stringMatching(
        `^a lease of ${LEASE_MS} ms was lost while its handler ran, .* or raise leaseMs$`,
      ),
    ])
  })
})

test('a handler that ended its transaction by itself has failed for good, and never runs again', async () => {
  const { clock, store, dedup, told } = await setUp()
  const ended = new StoreError('ONCEMQ_TRANSACTION_ENDED', 'the handler sent COMMIT')
  store.commit = () => Promise.reject(ended)
  let runs = 0
  const deliver = () => dedup.process({ key: 'a' }, () => void (runs += 1))
  const outcome = await deliver()
  expect(outcome).toMatchObject({
    status: 'failed',
    final: true,
    error: ended,
    attempt: 1,
    reason: 'transaction-ended',
  })
  expect(await deliver()).toMatchObject({ status: 'rejected', reason: 'attempts' })
  await elapse(clock, LEASE_MS)
  expect(await deliver()).toMatchObject({ status: 'rejected' })
  expect([runs, store.begun, told]).toEqual([1, 1, ['failed']])
  expect('forgive' in outcome && (await outcome.forgive?.())).toBe(true)
  await deliver()
  expect(runs).toBe(2)
})

test('a transaction that begins after the lease was lost runs no handler, and counts no start', async () => {
  const { clock, store, dedup } = await setUp()
  const { promise, resolve } = Promise.withResolvers<void>()
  store.begin = () => promise
  store.around = (call, apply) => (call.operation === 'update' ? Promise.resolve(['lost']) : apply())
  const outcome = dedup.process({ key: 'a' }, () => expect.unreachable())
  await elapse(clock, LEASE_MS / 2)
  store.works()
  resolve()
  expect((await outcome).status).toBe('lost')
  expect(await dedup.inspect('a')).toMatchObject({ state: 'free', attempts: 0 })
})

test('nor does one that begins after a stall, before whose timers its answer is heard', async () => {
  const { clock, store, dedup } = await setUp()
  store.begin = async () => clock.stall(LEASE_MS)
  expect((await dedup.process({ key: 'a' }, () => expect.unreachable())).status).toBe('lost')
  expect(await dedup.inspect('a')).toMatchObject({ state: 'free', attempts: 0 })
})

test('a message without a key is counted by the broker, since its claim is new each time', async () => {
  const { store, dedup } = await setUp({ attemptsMax: 2 })
  const fail = (startsBefore: number) =>
    dedup.process({ key: undefined, startsBefore }, ({ attempt }) => Promise.reject(new Error(`${attempt}`)))
  expect(await fail(0)).toMatchObject({ final: false, attempt: 1, error: { message: '1' } })
  expect(await fail(1)).toMatchObject({
    final: true,
    attempt: 2,
    reason: 'attempts',
    error: { message: '2' },
  })
  // Its process ended twice, as far as is known: it starts again alone.
  expect(await fail(2)).toMatchObject({ final: true, attempt: 3, error: { message: '3' } })
  expect(await fail(5)).toMatchObject({ status: 'rejected', reason: 'attempts', attempt: 5 })
  expect(store.begun).toBe(3)
})

describe("what is the store's fault is no attempt of the handler", () => {
  test.each(['ONCEMQ_STORE_UNAVAILABLE', 'ONCEMQ_STORE_BUSY', 'ONCEMQ_COMMIT_UNKNOWN'] as const)(
    '%s',
    async (code) => {
      const { store, dedup, told } = await setUp()
      const error = new StoreError(code, 'cut')
      store.commit = () => Promise.reject(error)
      expect(await dedup.process({ key: 'a' }, () => {})).toEqual({ status: 'store-down', error })
      // The store is asked whether it works only where a handler may have ended its own connection.
      const errors = code === 'ONCEMQ_STORE_UNAVAILABLE' ? 2 : 1
      expect([store.updates('release'), told]).toMatchObject([
        [{ attempts: 0 }],
        Array.from({ length: errors }, () => 'storeError'),
      ])
    },
  )
})

describe('a connection that is lost with each run of a handler, while the store works', () => {
  const lost = new StoreError('ONCEMQ_STORE_UNAVAILABLE', 'the connection is gone')

  async function cutting(options: { attemptsMax: number }) {
    const setting = await setUp(options)
    const { store } = setting
    let isCut = false
    store.commit = (apply) => {
      const answer = isCut ? Promise.reject(lost) : apply()
      isCut = false
      return answer
    }
    const cut = ({ tx }: { tx: Ledger }): void => {
      tx.words.push('late')
      isCut = true
    }
    return { ...setting, cut }
  }

  test.each([
    ['with a key', { key: 'a' }],
    ['without a key', { key: undefined }],
  ])('%s: each start counts, and the last one is alone', async (_, message) => {
    const { clock, store, dedup, told, cut } = await cutting({ attemptsMax: 2 })
    const deliver = async (startsBefore: number) => {
      const outcome = dedup.process({ ...message, startsBefore }, cut)
      await elapse(clock, 5000)
      return outcome
    }
    expect(await deliver(0)).toEqual({ status: 'failed', final: false, error: lost, attempt: 1 })
    expect(await deliver(1)).toEqual({ status: 'failed', final: false, error: lost, attempt: 2 })
    const work = Promise.withResolvers<void>()
    const neighbour = dedup.process({ key: 'b' }, () => work.promise)
    const last = deliver(2)
    await elapse(clock, 1000)
    expect(store.begun).toBe(5)
    work.resolve()
    expect(await last).toMatchObject({
      status: 'failed',
      final: true,
      error: lost,
      attempt: 3,
      reason: 'attempts',
    })
    expect([(await neighbour).status, store.committed, told]).toEqual([
      'completed',
      [],
      Array.from({ length: 3 }, () => ['storeError', 'failed']).flat(),
    ])
  })

  test('is no attempt once the store is known to be down', async () => {
    const { clock, store, dedup, cut } = await cutting({ attemptsMax: 2 })
    const { around } = store
    const outcome = dedup.process({ key: 'a' }, async (context) => {
      store.around = () => Promise.reject(lost)
      await dedup.process({ key: 'b', holdMs: 0 }, () => expect.unreachable())
      store.around = around
      cut(context)
    })
    await elapse(clock, 5000)
    expect(await outcome).toEqual({ status: 'store-down', error: lost })
    expect(await dedup.inspect('a')).toMatchObject({ state: 'free', attempts: 0 })
  })
})

describe('a handler that hangs', () => {
  test.each([
    ['by default for a lease', {}, LEASE_MS],
    ['as long as is asked for', { handlerTimeoutMs: 700 }, 700],
  ])('is waited for %s, then told to stop, rolled back, and counted', async (_, options, boundMs) => {
    const { clock, store, dedup, told } = await setUp(options)
    let signal: AbortSignal | undefined
    const work = Promise.withResolvers<void>()
    const outcome = dedup.process({ key: 'a' }, async (context) => {
      signal = context.signal
      context.tx.words.push('late')
      await work.promise
    })
    await elapse(clock, boundMs - 1)
    expect([signal?.aborted, store.lastSignal?.aborted]).toEqual([false, false])
    await elapse(clock, 1)
    const failure = await outcome
    expect(failure).toMatchObject({
      status: 'failed',
      final: false,
      attempt: 1,
      error: { code: 'ONCEMQ_HANDLER_TIMEOUT' },
    })
    const error: unknown = 'error' in failure && failure.error
    expect([signal?.reason, store.lastSignal?.reason]).toEqual([error, error])
    work.resolve()
    await settle()
    expect([store.committed, told, await dedup.inspect('a')]).toMatchObject([
      [],
      ['failed'],
      { state: 'free', attempts: 1 },
    ])
    // The look of the lease keeper at nothing, and no more.
    await elapse(clock, LEASE_MS / 10)
    expect(clock.nextInMs).toBeUndefined()
  })

  test('and ends late by an error ends nothing else, and warns nobody', async () => {
    const { clock, dedup } = await setUp({ handlerTimeoutMs: 100 })
    const work = Promise.withResolvers<void>()
    const outcome = dedup.process({ key: 'a' }, () => work.promise)
    await elapse(clock, 100)
    expect((await outcome).status).toBe('failed')
    work.reject(new Error('late'))
    await settle()
    expect((await dedup.process({ key: 'a' }, ({ attempt }) => expect(attempt).toBe(2))).status).toBe(
      'completed',
    )
  })
})

test('a store that is closed by hand is no outage of its transactions', async () => {
  const { clock, store, dedup } = await setUp()
  store.begin = () => Promise.reject(new StoreError('ONCEMQ_CLOSED', 'ToyStore: expected an open store'))
  const outcome = dedup.process({ key: 'a' }, () => expect.unreachable())
  await elapse(clock, LEASE_MS)
  expect(await outcome).toMatchObject({ status: 'closed', error: { code: 'ONCEMQ_CLOSED' } })
  await dedup.close()
})
