import { describe, expect, test } from 'vitest'

import { jsonResult, OncemqError } from '../src/index.ts'
import { elapse, settle } from './elapse.ts'
import { setUp } from './set-up.ts'

const result = jsonResult<{ id: number }>()

describe('run', () => {
  test('runs the work once, and gives its value to later calls', async () => {
    const { dedup } = await setUp()
    let runs = 0
    const work = async () => ({ id: ++runs })
    expect(await dedup.run('a', work, { result })).toEqual({ status: 'completed', value: { id: 1 } })
    expect(await dedup.run('a', work, { result })).toEqual({ status: 'duplicate', value: { id: 1 } })
    expect(await dedup.run('b', work, { result })).toEqual({ status: 'completed', value: { id: 2 } })
  })

  test('of two calls at a time, one works, and both get the value', async () => {
    const { dedup } = await setUp()
    const calls = [1, 2].map((id) => dedup.run('a', async () => ({ id }), { result }))
    expect(await Promise.all(calls)).toEqual([
      { status: 'completed', value: { id: 1 } },
      { status: 'duplicate', value: { id: 1 } },
    ])
  })

  test('without a codec keeps nothing', async () => {
    const { dedup } = await setUp()
    expect(await dedup.run('a', () => 7)).toEqual({ status: 'completed', value: 7 })
    expect(await dedup.run('a', () => 8)).toEqual({ status: 'duplicate', value: undefined })
  })

  test('throws what the work throws, and the next call works again', async () => {
    const { dedup } = await setUp()
    const error = new Error('no')
    await expect(dedup.run('a', () => Promise.reject(error))).rejects.toBe(error)
    expect(await dedup.run('a', ({ attempt }) => attempt)).toEqual({ status: 'completed', value: 2 })
  })

  test('says when someone else is at it', async () => {
    const all = await setUp()
    const other = await setUp({ beside: all, busyTimeoutMs: 0 })
    void all.dedup.run('a', () => new Promise(() => {}))
    await settle()
    expect(await other.dedup.run('a', () => 1)).toMatchObject({ status: 'busy' })
  })

  test.each([
    ['', 'ONCEMQ_KEY_INVALID'],
    [7 as unknown as string, 'ONCEMQ_KEY_INVALID'],
    [undefined as unknown as string, 'ONCEMQ_KEY_INVALID'],
  ])('refuses the key %o', async (key, code) => {
    const { dedup } = await setUp()
    await expect(dedup.run(key, () => expect.unreachable())).rejects.toMatchObject({ code })
  })

  test('throws for a conflict, and for a store that is down past the bound', async () => {
    const { clock, dedup, store } = await setUp({ fingerprint: true, outageHoldMs: 1000 })
    await dedup.run('a', () => 1, { body: Buffer.from('100') })
    await expect(dedup.run('a', () => 2, { body: Buffer.from('200') })).rejects.toMatchObject({
      code: 'ONCEMQ_CONFLICT',
    })
    store.around = () => Promise.reject(new OncemqError('ONCEMQ_STORE_UNAVAILABLE', 'down'))
    const failure = dedup.run('b', () => 3).catch((error: unknown) => error)
    await elapse(clock, 2000)
    expect(await failure).toMatchObject({ code: 'ONCEMQ_STORE_UNAVAILABLE' })
  })
})

describe('a value that cannot be kept', () => {
  const circular: { self?: unknown } = {}
  circular.self = circular

  test.each([
    ['a circle', circular],
    ['a bigint', 1n],
  ])('%s: the work is done all the same, and is not done again', async (_, value) => {
    const { dedup, told } = await setUp()
    let runs = 0
    const work = (): unknown => {
      runs += 1
      return value
    }
    const codec = jsonResult<unknown>()
    expect(await dedup.run('a', work, { result: codec })).toEqual({ status: 'completed', value })
    expect(await dedup.run('a', work, { result: codec })).toEqual({ status: 'duplicate', value: undefined })
    expect(runs).toBe(1)
    expect(told).toContainEqual({
      name: 'warning',
      message: 'run: the value was not kept, since its codec threw an object (TypeError)',
    })
  })

  test('one that another codec wrote is told as such', async () => {
    const { dedup } = await setUp()
    const other = { encode: () => Buffer.from('{'), decode: () => 1 }
    await dedup.run('a', () => 1, { result: other })
    await expect(dedup.run('a', () => 2, { result: jsonResult<number>() })).rejects.toMatchObject({
      code: 'ONCEMQ_STORE_CORRUPT',
    })
  })
})

test.each([[undefined], [null], [0], [''], [false], ['é\ud83d\ude00'], [[1, { a: [] }]]])(
  'JSON keeps %j',
  async (value) => {
    const codec = jsonResult<unknown>()
    expect(codec.decode(codec.encode(value))).toEqual(value)
  },
)

describe('a call that is wrong is refused before its key counts a start', () => {
  test.each<[string, unknown, unknown, RegExp]>([
    ['no work', undefined, {}, /^run: expected a function, received undefined; pass the work: run\(key, /],
    ['options that are none', () => 1, 'x', /^run: expected an options object, received a string/],
    ['a misspelt option', () => 1, { results: 1 }, /received 'results'; correct the name/],
    [
      'a codec that is none',
      () => 1,
      { result: true },
      /^result: expected an object with encode\(\), decode/,
    ],
    ['a signal that is none', () => 1, { signal: 5 }, /^signal: expected an AbortSignal, received 5; give/],
  ])('%s', async (_, work, options, message) => {
    const { dedup } = await setUp()
    await expect(dedup.run('a', work as never, options as never)).rejects.toThrow(message)
    expect([await dedup.inspect('a'), dedup.counts().granted]).toEqual([undefined, 0])
  })
})
