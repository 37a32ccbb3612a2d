import { describe, expect, test } from 'vitest'

import { OncemqError } from '../src/index.ts'
import { StoreError } from '../src/store/index.ts'
import { elapse, settle } from './elapse.ts'
import { setUp } from './set-up.ts'

const nothing = (): void => {}

describe('a store that breaks its contract', () => {
  test.each([
    ['too few answers', []],
    ['too many answers', [{ status: 'busy' }, { status: 'busy' }]],
    ['no array', undefined],
    ['null', null],
    ['a string', 'ok'],
    ['a hole', [undefined]],
    ['an unknown status', [{ status: 'perhaps' }]],
    ['answers of another operation', ['ok']],
  ])('%s to a claim: told as broken, nothing runs, nothing stays in flight', async (_, answers) => {
    const { store, dedup, told } = await setUp()
    store.around = () => Promise.resolve(answers)
    const outcome = await dedup.process({ key: 'a' }, nothing)
    expect(outcome).toMatchObject({ status: 'store-refused', error: { code: 'ONCEMQ_STORE_BROKEN' } })
    expect(told).toMatchObject([{ name: 'storeError', operation: 'claim', entries: 1 }])
    store.works()
    expect((await dedup.process({ key: 'a' }, nothing)).status).toBe('completed')
  })

  test.each([
    ['too few answers', []],
    ['no array', undefined],
    ['an unknown word', ['done']],
  ])('%s to a completion: not taken for done', async (_, answers) => {
    const { clock, store, dedup } = await setUp({ leaseMs: 1000 })
    store.around = (call, apply) => (call.operation === 'update' ? Promise.resolve(answers) : apply())
    const outcome = dedup.process({ key: 'a' }, nothing)
    await elapse(clock, 1000)
    // Asked again each second, not in a loop: the lease has room for one repetition.
    expect(store.callsOf('update').length).toBeLessThan(4)
    expect((await outcome).status).toBe('unconfirmed')
  })
})

describe('what a store throws', () => {
  test.each([
    ['an error of a driver', new TypeError('a key and a password'), 'TypeError'],
    ['a string', 'a key and a password', 'string'],
    ['nothing', undefined, 'undefined'],
  ])('%s becomes an error of oncemq, without its text, with it as the cause', async (_, thrown, what) => {
    const { clock, store, dedup, told } = await setUp({ outageHoldMs: 0 })
    store.around = () => Promise.reject(thrown as Error)
    const outcome = await dedup.process({ key: 'a' }, nothing)
    expect(outcome).toMatchObject({
      status: 'store-down',
      error: { code: 'ONCEMQ_STORE_UNAVAILABLE', cause: thrown },
    })
    expect(String('error' in outcome && outcome.error)).toContain(`received ${what};`)
    expect(String('error' in outcome && outcome.error)).not.toContain('password')
    expect(told[0]).toMatchObject({ name: 'storeError', operation: 'claim' })
    await elapse(clock, 100)
  })

  test('synchronously is the same', async () => {
    const { store, dedup } = await setUp({ outageHoldMs: 0 })
    store.around = () => {
      throw new Error('no')
    }
    expect(await dedup.process({ key: 'a' }, nothing)).toMatchObject({
      error: { code: 'ONCEMQ_STORE_UNAVAILABLE' },
    })
  })

  test('an error of oncemq, also of another copy of it, is handed on as it is', async () => {
    const { store, dedup } = await setUp()
    const error = new StoreError('ONCEMQ_STORE_REFUSED', 'no such column')
    store.around = () => Promise.reject(error)
    expect(await dedup.process({ key: 'a' }, nothing)).toMatchObject({ status: 'store-refused', error })
  })
})

describe('a store that does not answer', () => {
  test('fails a call after storeTimeoutMs', async () => {
    const { clock, store, dedup } = await setUp({ storeTimeoutMs: 700, outageHoldMs: 0 })
    store.around = () => new Promise(() => {})
    const outcome = dedup.process({ key: 'a' }, nothing)
    await elapse(clock, 699)
    expect(dedup.outage).toBeUndefined()
    await elapse(clock, 1)
    expect(await outcome).toMatchObject({ status: 'store-down', error: { code: 'ONCEMQ_STORE_TIMEOUT' } })
  })

  test('and answers later changes nothing', async () => {
    const { clock, store, dedup } = await setUp({ storeTimeoutMs: 700, outageHoldMs: 0 })
    const late = Promise.withResolvers<unknown>()
    store.around = () => late.promise
    const outcome = dedup.process({ key: 'a' }, nothing)
    await elapse(clock, 700)
    late.reject(new Error('late'))
    expect((await outcome).status).toBe('store-down')
    await settle()
  })

  test('leaves no timer behind once it answers', async () => {
    const { clock, dedup } = await setUp()
    await dedup.process({ key: 'a' }, nothing)
    // Only the keeper's look at an empty set, once.
    await elapse(clock, 5000)
    expect(clock.nextInMs).toBeUndefined()
  })
})

test('one refused entry of a batch leaves its neighbours alone', async () => {
  const { store, dedup, id } = await setUp()
  store.around = (call, apply) =>
    call.batch.some((entry) => entry.id === id('bad'))
      ? Promise.reject(new StoreError('ONCEMQ_STORE_REFUSED', 'no'))
      : apply()
  const keys = ['a', 'b', 'bad', 'c', 'd']
  const outcomes = await Promise.all(keys.map((key) => dedup.process({ key }, nothing)))
  expect(outcomes.map(({ status }) => status)).toEqual(
    keys.map((key) => (key === 'bad' ? 'store-refused' : 'completed')),
  )
})

test('an error of oncemq says so in its class, its name, its code and its brand', () => {
  const error = new StoreError('ONCEMQ_STORE_FULL', 'full')
  expect([error.name, error.code, error.retryable]).toEqual(['StoreError', 'ONCEMQ_STORE_FULL', true])
  expect(error).toBeInstanceOf(OncemqError)
})
