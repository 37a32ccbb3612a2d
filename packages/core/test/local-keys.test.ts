import { describe, expect, test } from 'vitest'

import { VirtualClock } from '../src/testing/index.ts'
import { LocalKeys } from '../src/claims/local-keys.ts'

const done = { fingerprint: undefined, result: undefined }

function knownKeys(keysMax = 1000, ttlMs = 5000) {
  const clock = new VirtualClock()
  const keys = new LocalKeys({ keysMax, ttlMs }, clock)
  const end = (id: string, result?: Uint8Array) =>
    keys.leave(keys.enter(id), { ...done, result }, clock.monotonicMs())
  return { clock, keys, end }
}

const numbers = (count: number) => Array.from({ length: count }, (_, number) => String(number))

describe('keys done a moment ago', () => {
  test('are remembered for their time and no longer', () => {
    const { clock, keys, end } = knownKeys(1000, 1000)
    end('a')
    clock.advance(999)
    expect(keys.get('a')?.done).toMatchObject(done)
    clock.advance(1)
    expect(keys.get('a')).toBeUndefined()
  })

  test('the last half of the bound is always there, and never more than the bound', () => {
    const { keys, end } = knownKeys(200)
    for (const [key, id] of numbers(2000).entries()) {
      end(id)
      const held = numbers(key + 1).filter((each) => keys.get(each))
      expect(held.length).toBeLessThanOrEqual(200)
      expect(held.length).toBeGreaterThanOrEqual(Math.min(100, key + 1))
      expect(held.at(-1)).toBe(id)
    }
  })

  test('the last half of the bound is there also with many more keys in flight', () => {
    const { keys, end } = knownKeys(200)
    for (const id of numbers(1000)) keys.enter(`running ${id}`)
    for (const id of numbers(5000)) end(id)
    expect(numbers(5000).filter((id) => keys.get(id)).length).toBeGreaterThanOrEqual(100)
  })

  test.each([
    ['keys', 0, 5000],
    ['time', 10, 0],
  ])('none are remembered with no %s', (_, keysMax, ttlMs) => {
    const { keys, end } = knownKeys(keysMax, ttlMs)
    end('a')
    expect(keys.get('a')).toBeUndefined()
  })

  test('are so from when their completion was told, not from when it was answered', () => {
    const { clock, keys } = knownKeys(1000, 1000)
    const known = keys.enter('a')
    clock.advance(600)
    keys.leave(known, done, 0)
    clock.advance(399)
    expect(keys.get('a')).toBe(known)
    clock.advance(1)
    expect(keys.get('a')).toBeUndefined()
  })

  test('are not those of which nobody knows since when', () => {
    const { keys } = knownKeys()
    keys.leave(keys.enter('a'), done)
    expect(keys.get('a')).toBeUndefined()
  })

  test('are not those that ended otherwise', () => {
    const { keys } = knownKeys()
    keys.leave(keys.enter('a'))
    expect(keys.get('a')).toBeUndefined()
  })

  test('a forgotten key is forgotten, in whichever generation it is', () => {
    const { keys, end } = knownKeys(128)
    for (const key of [...numbers(64), 'a']) end(key)
    for (const key of ['0', 'a']) keys.forget(key)
    expect(['0', '1', 'a'].map((key) => keys.get(key)?.done)).toEqual([undefined, done, undefined])
  })

  test('a key that came anew after it was done is the new one, also when it is forgotten', () => {
    const { clock, keys, end } = knownKeys(128, 1000)
    for (const key of ['a', ...numbers(64)]) end(key)
    clock.advance(1000)
    const again = keys.enter('a')
    keys.forget('a')
    expect(keys.get('a')).toBe(again)
    keys.leave(again)
    expect(keys.get('a')).toBeUndefined()
  })
})

describe('keys in flight', () => {
  test('are there until they end, however many come and go meanwhile', () => {
    const { keys, end } = knownKeys(0)
    const running = numbers(1000).map((id) => [id, keys.enter(id)] as const)
    for (const id of numbers(20_000)) end(`other ${id}`)
    expect(running.filter(([id, known]) => keys.get(id) !== known)).toEqual([])
    expect(keys.inFlight).toBe(1000)
    for (const [, known] of running) keys.leave(known)
    expect(running.filter(([id]) => keys.get(id) !== undefined)).toEqual([])
    expect(keys.inFlight).toBe(0)
  })

  test('end once', () => {
    const { keys } = knownKeys()
    const known = keys.enter('a')
    keys.enter('b')
    keys.leave(known)
    keys.leave(known, done, 0)
    expect([keys.inFlight, keys.get('a')]).toEqual([1, undefined])
  })
})

describe('a result', () => {
  test('is remembered up to 4096 bytes; a larger one is left to the store', () => {
    const { keys, end } = knownKeys()
    end('small', new Uint8Array(4096))
    end('large', new Uint8Array(4097))
    expect(keys.get('small')?.done?.result).toHaveLength(4096)
    expect(keys.get('large')).toBeUndefined()
  })

  test('is a copy: neither the buffer it is cut from nor a later write to it stays', () => {
    const { keys, end } = knownKeys()
    const large = Buffer.alloc(1_000_000, 'x')
    end('a', large.subarray(0, 10))
    large.fill('y')
    const result = keys.get('a')?.done?.result
    expect(Buffer.from(result ?? []).toString()).toBe('xxxxxxxxxx')
    expect(result?.buffer.byteLength).toBe(10)
  })
})
