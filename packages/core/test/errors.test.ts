import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'

import { errorTable, isOncemqError, OncemqError, OptionError, PermanentError } from '../src/index.ts'
import { received, StoreError } from '../src/store/index.ts'
import type { ErrorCode } from '../src/index.ts'
import { errorNameOf } from '../src/broker/index.ts'

const page = readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8')

/** The page's sections, by their codes. */
const sections = new Map(
  page
    .split(/^## /m)
    .slice(1)
    .map((section) => [section.split('\n')[0] ?? '', section] as const),
)

describe('the table of errors and its page', () => {
  test('have the same codes, in the same order', () => {
    expect([...sections.keys()]).toEqual(Object.keys(errorTable))
  })

  test.each(Object.entries(errorTable))('%s: meaning, cause and remedy', (code, { meaning, retryable }) => {
    const section = sections.get(code) ?? ''
    expect(section).toContain(`\n${meaning} ${retryable ? 'Retryable.' : 'Not retryable.'}\n`)
    expect(section).toMatch(/^- \*\*Cause:\*\* .{20,}/m)
    expect(section).toMatch(/^- \*\*Remedy:\*\* .{10,}/m)
  })
})

test('codes are of one kind, and the table cannot be changed', () => {
  for (const code of Object.keys(errorTable)) expect(code).toMatch(/^ONCEMQ(_[A-Z]+)+$/)
  expect(Object.isFrozen(errorTable)).toBe(true)
})

describe('an error', () => {
  const cause = new Error('of the driver')

  test.each([
    [new OncemqError('ONCEMQ_CLOSED', 'closed', { cause }), 'OncemqError', 'ONCEMQ_CLOSED', true],
    [
      new StoreError('ONCEMQ_STORE_CORRUPT', 'corrupt', { cause }),
      'StoreError',
      'ONCEMQ_STORE_CORRUPT',
      false,
    ],
    [new PermanentError('no', { cause }), 'PermanentError', 'ONCEMQ_PERMANENT', false],
    [new OptionError('wrong'), 'OptionError', 'ONCEMQ_OPTION_INVALID', false],
  ])('%s: class, name, code and whether to retry', (error, name, code, retryable) => {
    expect(error).toBeInstanceOf(OncemqError)
    expect(error.toString()).toMatch(new RegExp(`^${name}: `))
    expect([error.code, error.retryable]).toEqual([code, retryable])
    expect(isOncemqError(error)).toBe(true)
  })

  test('carries its cause', () => {
    expect(new StoreError('ONCEMQ_STORE_FULL', 'full', { cause }).cause).toBe(cause)
  })

  test('retries as its code says, for every code', () => {
    for (const [code, { retryable }] of Object.entries(errorTable)) {
      expect(new OncemqError(code as ErrorCode, '').retryable).toBe(retryable)
    }
  })

  test('of another copy of this package is known by its brand', () => {
    const foreign = Object.assign(new Error('no'), {
      code: 'ONCEMQ_PERMANENT',
      [Symbol.for('oncemq.error')]: true,
    })
    expect(isOncemqError(foreign)).toBe(true)
  })

  test.each([undefined, null, 'ONCEMQ_PERMANENT', 7, new Error('no'), { code: 'ONCEMQ_PERMANENT' }])(
    '%o is none of oncemq',
    (value) => {
      expect(isOncemqError(value)).toBe(false)
    },
  )
})

test.each([
  [undefined, 'undefined'],
  [null, 'null'],
  [true, 'true'],
  [-0.5, '-0.5'],
  ['a secret', 'a string'],
  [['a secret'], 'an array'],
  [{ constructor: undefined }, 'an object (Object)'],
  [Object.create(null) as object, 'an object (no prototype)'],
  [Object.create({ constructor: 'a secret' }) as object, 'an object (no class)'],
  [{ constructor: { name: 'a secret' } }, 'an object (Object)'],
  [{ constructor: 'a secret' }, 'an object (Object)'],
  [
    {
      get constructor(): unknown {
        throw new Error('a secret')
      },
    },
    'an object (Object)',
  ],
])('what was received is told by its type: %#', (value, what) => {
  expect(received(value)).toBe(what)
})

test.each([
  [new RangeError('a secret'), 'RangeError'],
  [Object.assign(new Error('no'), { name: 'N'.repeat(1000) }), 'N'.repeat(100)],
  [Object.assign(new Error('no'), { name: 7 }), 'Error'],
  ['a secret', 'string'],
])('what was thrown has a short name, whatever it is: %#', (thrown, name) => {
  expect(errorNameOf(thrown)).toBe(name)
})
