import { describe, expect, test } from 'vitest'

import { isOncemqError } from '../src/index.ts'
import { recordId } from '../src/store/index.ts'
import { payloadHash, readableLabel, requireKey } from '../src/delivery/identity.ts'

const MEGABYTE = 2 ** 20

// Each pair is one key to some store, server or client: folded, trimmed, normalised, cut or split.
const hostileKeys = [
  'a',
  'A',
  'a ',
  ' a',
  'a\t',
  'a\u00a0',
  'a\u200b',
  'a\ufeff',
  '\u00e9',
  'e\u0301',
  '\u00c9',
  'e',
  '\u017f',
  's',
  'ss',
  '\u00df',
  'i',
  '\u0131',
  '\u0130',
  'a\0',
  '\0a',
  '\0',
  '\u2400',
  'a\0b',
  'ab',
  '\ud83d',
  '\ude00',
  '\ud83d\ude00',
  '\ude00\ud83d',
  'a\ud83d',
  'a\ude00',
  '\ud83e',
  ':',
  '1:',
  '1:a',
  '7:billing',
  'a:b',
  'a/b',
  'utf16:1:a',
  '{"$gt":""}',
  '$where',
  '__proto__',
  'constructor',
  "' OR 1=1 --",
  '../../etc/passwd',
  '%00',
  '1',
  '01',
  '1.0',
  'x'.repeat(MEGABYTE),
  `${'x'.repeat(MEGABYTE)}y`,
  `${'x'.repeat(MEGABYTE)} `,
]

describe('the id of a record', () => {
  test('differs for all keys that are not the same string', () => {
    const ids = hostileKeys.map((key) => recordId('billing', key))
    expect(new Set(ids).size).toBe(hostileKeys.length)
    expect(new Set(hostileKeys).size).toBe(hostileKeys.length)
  })

  test('is 32 lower-case hexadecimal digits, always the same', () => {
    for (const key of hostileKeys) {
      const id = recordId('billing', key)
      expect(id).toMatch(/^[0-9a-f]{32}$/)
      expect(recordId('billing', key)).toBe(id)
    }
  })

  test('differs between groups, wherever group and key are cut', () => {
    const whole = 'ab1:2:c\ud83d\ude00\0é'
    const ids = Array.from({ length: whole.length - 1 }, (_, cut) =>
      recordId(whole.slice(0, cut + 1), whole.slice(cut + 1)),
    )
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('does not change from one version to the next: the records of a store depend on it', () => {
    expect(recordId('billing', 'order-1')).toBe('ff3147c67e101f7cdeba4e0de3b3246c')
    expect(recordId('billing', '\ud83d')).toBe('c06497eedd3a61c44de418625f7e6afc')
    const source = 'orders'
    expect(recordId('billing', 'order-1', { source })).toBe('9dcd5b6551cd0633bea10cc804488901')
    expect(recordId('billing', ['shop', 'order-1'], { source })).toBe('b9adc0205dac5365d8d2d9c1633a7d0d')
    const hop = recordId('billing', ['1', 'order-1'], { source, kind: 'hop' })
    expect(hop).toBe('679b4b204d6dc6c006f963b4f1613a4a')
    const hash = recordId('billing', '00'.repeat(16), { source, kind: 'hash' })
    expect(hash).toBe('11011ee2cd84c26532878c513492d954')
    const log = recordId('billing', ['kafka', 'orders', '0'], { kind: 'log' })
    expect(log).toBe('21ee64ef273b3f435ad781722f226a12')
    // Of the workers' secret.
    const secret = recordId('', 'oncemq secret', { kind: 'internal' })
    expect(secret).toBe('7f095bd87af25df2c337dc9bfc62f05e')
  })
})

describe('a key', () => {
  test.each([
    ['an empty string', '', 'an empty string'],
    ['undefined', undefined, 'undefined'],
    ['a number', 7, '7'],
    ['NaN', Number.NaN, 'NaN'],
    ['an object', { secret: 'payload' }, 'an object (Object)'],
    ['an object without prototype', Object.create(null) as object, 'an object (no prototype)'],
    ['an empty array', [], 'an empty array'],
    ['an array with something else', ['a', 7], '7'],
    ['an array with a hole', ['a', undefined], 'undefined'],
    ['an array with an empty part', ['a', ''], 'an empty string'],
    ['one that was decoded with loss', 'secret\ufffd', 'one with replacement characters'],
    ['parts, one of which was decoded with loss', ['a', '\ufffd'], 'one with replacement characters'],
    ['a symbol', Symbol('secret'), 'a symbol'],
    ['a bigint', 1n, 'a bigint'],
    ['a function', () => 'secret', 'a function'],
    ['a buffer', Buffer.from('secret'), 'an object (Buffer)'],
  ])('is not %s', (_, key, what) => {
    let thrown: unknown
    try {
      requireKey(key, 'reject')
    } catch (error) {
      thrown = error
    }
    expect(isOncemqError(thrown) && thrown.code).toBe('ONCEMQ_KEY_INVALID')
    expect(String(thrown)).toContain(`received ${what}`)
    expect(String(thrown)).not.toContain('secret')
  })

  test('may be any other string', () => {
    for (const key of hostileKeys) expect(() => requireKey(key, 'reject')).not.toThrow()
  })
})

test('the label for people is short, well-formed and without NUL, whatever the key', () => {
  for (const key of hostileKeys) {
    const label = readableLabel('billing', undefined, key)
    expect(label.length).toBeLessThanOrEqual(256)
    expect(label.isWellFormed()).toBe(true)
    expect(label).not.toContain('\0')
  }
  expect(readableLabel('billing', undefined, 'order-1')).toBe('billing/order-1')
})

test('a cut through a pair of surrogates leaves a well-formed label', () => {
  const key = '\ud83d\ude00'.repeat(200)
  expect(
    [readableLabel('ab', undefined, key), readableLabel('abc', undefined, key)].every((label) =>
      label.isWellFormed(),
    ),
  ).toBe(true)
})

test('the hash of a payload depends on its bytes alone', () => {
  expect(payloadHash(Buffer.from('a'))).toBe(payloadHash(new Uint8Array([97])))
  expect(payloadHash(Buffer.from('a'))).not.toBe(payloadHash(Buffer.from('a ')))
  expect(payloadHash(new Uint8Array())).toMatch(/^[0-9a-f]{32}$/)
})
