import { describe, expect, test } from 'vitest'

import { VirtualClock } from '../src/index.ts'
import { Recent } from '../src/recent.ts'

const done = { fingerprint: undefined, result: undefined }

function recent(keysMax: number, ttlMs = 5000) {
  const clock = new VirtualClock()
  return { clock, recent: new Recent({ keysMax, ttlMs }, clock) }
}

describe('keys done a moment ago', () => {
  test('are remembered for their time and no longer', () => {
    const { clock, recent: keys } = recent(10, 1000)
    keys.add('a', done)
    clock.advance(999)
    expect(keys.get('a')).toMatchObject(done)
    clock.advance(1)
    expect(keys.get('a')).toBeUndefined()
  })

  test('the last half of the bound is always there, and never more than the bound', () => {
    const { recent: keys } = recent(10)
    for (let key = 0; key < 1000; key += 1) {
      keys.add(String(key), done)
      const held = Array.from({ length: key + 1 }, (_, each) => each).filter((each) => keys.get(String(each)))
      expect(held.length).toBeLessThanOrEqual(10)
      expect(held.length).toBeGreaterThanOrEqual(Math.min(5, key + 1))
      expect(held.at(-1)).toBe(key)
    }
  })

  test.each([
    ['keys', 0, 5000],
    ['time', 10, 0],
  ])('none are remembered with no %s', (_, keysMax, ttlMs) => {
    const { recent: keys } = recent(keysMax, ttlMs)
    keys.add('a', done)
    expect(keys.get('a')).toBeUndefined()
  })

  test('a forgotten key is forgotten, in whichever generation it is', () => {
    const { recent: keys } = recent(4)
    for (const key of ['a', 'b', 'c', 'a']) keys.add(key, done)
    keys.delete('a')
    expect(keys.get('a')).toBeUndefined()
    expect(keys.get('b')).toMatchObject(done)
  })
})

describe('a result', () => {
  test('is remembered up to 4096 bytes; a larger one is left to the store', () => {
    const { recent: keys } = recent(10)
    keys.add('small', { fingerprint: undefined, result: new Uint8Array(4096) })
    keys.add('large', { fingerprint: undefined, result: new Uint8Array(4097) })
    expect(keys.get('small')?.result).toHaveLength(4096)
    expect(keys.get('large')).toBeUndefined()
  })

  test('is a copy: neither the buffer it is cut from nor a later write to it stays', () => {
    const { recent: keys } = recent(10)
    const large = Buffer.alloc(1_000_000, 'x')
    keys.add('a', { fingerprint: undefined, result: large.subarray(0, 10) })
    large.fill('y')
    const result = keys.get('a')?.result
    expect(Buffer.from(result ?? []).toString()).toBe('xxxxxxxxxx')
    expect(result?.buffer.byteLength).toBe(10)
  })
})
