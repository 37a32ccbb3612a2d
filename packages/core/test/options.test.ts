import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'

import { createDeduplicator, deduplicatorDefaults, isOncemqError, MemoryStore } from '../src/index.ts'
import type { DeduplicatorOptions, Store } from '../src/index.ts'
import { settingsOf } from '../src/options.ts'

const own = new MemoryStore({ keysMax: 10 })
/** One that others see too. */
const store: Store = Object.assign(new MemoryStore({ keysMax: 10 }), {
  guarantees: { ...own.guarantees, sharedBy: 'network' },
})
const valid = { store, consumerGroup: 'billing' }

/** The message of the error for wrong options. */
function refusal(options: object): string {
  try {
    settingsOf({ ...valid, ...options } as DeduplicatorOptions)
  } catch (error) {
    if (isOncemqError(error) && error.code === 'ONCEMQ_OPTION_INVALID') return error.message
    throw error
  }
  return 'accepted'
}

const DAY_MS = 86_400_000
const integers = {
  leaseMs: [100, DAY_MS],
  retentionMs: [30_000, 36_500 * DAY_MS],
  attemptsMax: [1, 30_000],
  handlerTimeoutMs: [0, DAY_MS],
  busyTimeoutMs: [0, DAY_MS],
  waitersMax: [0, 1_000_000],
  outageHoldMs: [0, DAY_MS],
  storeTimeoutMs: [1, 30_000],
  doneCacheMax: [0, 10_000_000],
  doneCacheMs: [0, 60_000],
  sweepEveryMs: [0, DAY_MS],
} as const

const choices = {
  onStoreDown: ['hold', 'process'],
  onMissingKey: ['process', 'reject', 'hash'],
  onPlaceholderKey: ['reject', 'accept'],
  keyScope: ['source', 'group'],
  fingerprint: [true, false],
  onConflict: ['dead-letter', 'process', 'ack'],
  onUnconfirmed: ['ack', 'retry'],
  storeReadableKey: [true, false],
} as const

describe.each(Object.entries(integers))('%s', (name, [min, max]) => {
  test.each([
    ['a string', '1000', "'1000'"],
    ['one that may be a secret', 'a:secret@b', 'a string'],
    ['NaN', Number.NaN, 'NaN'],
    ['Infinity', Number.POSITIVE_INFINITY, 'Infinity'],
    ['negative', -1, '-1'],
    ['fractional', 1000.5, '1000.5'],
    ['null', null, 'null'],
    ['an object', {}, 'an object (Object)'],
    ['a bigint', 1000n, 'a bigint'],
    ['too large', Number.MAX_SAFE_INTEGER + 1, String(Number.MAX_SAFE_INTEGER + 1)],
  ])('refuses %s, and says what was expected, what was received, and the remedy', (_, value, what) => {
    const message = refusal({ [name]: value })
    const unit = name.endsWith('Ms') ? 'milliseconds, ' : ''
    expect(message).toMatch(new RegExp(`^${name}: expected an integer \\(${unit}\\d+ to \\d+\\), received`))
    expect(message).toContain(`received ${what}; `)
    expect(message).toContain('leave it out for the default')
  })

  test('takes its bounds, and nothing beyond', () => {
    const others = name === 'leaseMs' ? { retentionMs: max } : {}
    for (const value of [min, max]) expect(refusal({ ...others, [name]: value })).toBe('accepted')
    expect(refusal({ [name]: min - 1 })).toContain(`received ${min - 1};`)
    expect(refusal({ [name]: max + 1 })).toContain(`received ${max + 1};`)
  })

  test('undefined is the default', () => {
    const { settings } = createDeduplicator({ ...valid, [name]: undefined })
    const defaults = { ...deduplicatorDefaults, handlerTimeoutMs: 0 }
    expect(settings[name as keyof typeof integers]).toBe(defaults[name as keyof typeof integers])
  })
})

describe('a store that this process alone sees', () => {
  const settings = (options: object) => settingsOf({ ...valid, store: own, ...options })

  test('has nothing beside it that it need not have', () => {
    expect(settings({})).toMatchObject({ doneCacheMax: 0, storeReadableKey: false })
  })

  test('has it where it is asked for', () => {
    const asked = { doneCacheMax: 10, storeReadableKey: true }
    expect(settings(asked)).toMatchObject(asked)
  })
})

describe.each(Object.entries(choices))('%s', (name, allowed) => {
  test.each([
    ['another word', 'never', "'never'"],
    ['a number', 1, '1'],
    ['null', null, 'null'],
    ['an object', {}, 'an object (Object)'],
  ])('refuses %s', (_, value, what) => {
    const message = refusal({ [name]: value })
    expect(message).toMatch(new RegExp(`^${name}: expected one of `))
    expect(message).toContain(`received ${what}; leave it out for the default`)
  })

  test('takes each of its values', () => {
    for (const value of allowed) expect(refusal({ [name]: value })).toBe('accepted')
  })
})

describe('strategy', () => {
  const custom = { run: () => {}, check: () => {}, defaultHandlerTimeoutMs: () => 700 }

  test.each([
    ['another word', 'never', "'never'"],
    ['what every object has', 'toString', "'toString'"],
    ['a number', 1, '1'],
    ['an object that is none', {}, 'an object (Object) without run()'],
    ['one without its own checks', { ...custom, check: undefined }, 'an object (Object) without check()'],
  ])('refuses %s', (_, strategy, what) => {
    const message = refusal({ strategy })
    expect(message).toMatch(/^strategy: expected one of 'lease', 'transactional', or a strategy object/)
    expect(message).toContain(`received ${what}; leave it out for the default`)
  })

  test('may be one of your own, which checks the settings and knows how long a handler may run', () => {
    let checked: unknown
    const strategy = { ...custom, check: (settings: unknown) => void (checked = settings) }
    const settings = settingsOf({ ...valid, strategy } as unknown as DeduplicatorOptions)
    expect([settings.strategy, settings.handlerTimeoutMs]).toEqual([strategy, 700])
    expect(checked).toBe(settings)
  })
})

describe('handlerTimeoutMs', () => {
  const transactional = {
    ...valid,
    strategy: 'transactional',
    store: Object.assign(new MemoryStore({ keysMax: 10 }), {
      guarantees: { ...own.guarantees, sharedBy: 'network', transactional: true },
      transaction: () => {},
    }),
  } as unknown as DeduplicatorOptions

  test('is the lease in a transaction, unless it is given', () => {
    expect(settingsOf({ ...transactional, leaseMs: 7000 }).handlerTimeoutMs).toBe(7000)
    expect(settingsOf({ ...transactional, handlerTimeoutMs: 0 }).handlerTimeoutMs).toBe(0)
  })

  test('is none without', () => {
    expect(settingsOf(valid).handlerTimeoutMs).toBe(0)
  })
})

describe('store', () => {
  const without = (part: object): Store => Object.assign(new MemoryStore({ keysMax: 10 }), part)
  test.each([
    [
      'none',
      undefined,
      'store: expected a store of oncemq, received undefined; pass one around your database',
    ],
    ['null', null, 'received null'],
    ['a URL', 'redis://user:password@host', 'received a string; pass one'],
    ['a class', MemoryStore, 'received a class (make an object of it with new)'],
    ['a client', { query() {} }, 'received an object (Object) without open()'],
    [
      'one without batching',
      without({ batching: undefined }),
      'store.batching.batchMax: expected an integer',
    ],
    [
      'one whose batches hold nothing',
      without({ batching: { batchMax: 0, batchesInFlightMax: 1 } }),
      'received 0',
    ],
    [
      'one whose batches never leave',
      without({ batching: { batchMax: 1, batchesInFlightMax: 0 } }),
      'received 0',
    ],
    [
      'one whose transactions never begin',
      without({ batching: { batchMax: 1, batchesInFlightMax: 1, transactionsInFlightMax: 0 } }),
      'store.batching.transactionsInFlightMax: expected an integer',
    ],
    [
      'one whose further batches would be more than full',
      without({ batching: { batchMax: 2, batchesInFlightMax: 1, batchMin: 3 } }),
      'store.batching.batchMin: expected an integer (1 to 2), received 3',
    ],
    [
      'one that has room for no call',
      without({
        batching: {
          batchMax: 2,
          batchesInFlightMax: 1,
          light: { callsMax: 0, entriesMin: 1, entriesPerMs: 1 },
        },
      }),
      'store.batching.light.callsMax: expected an integer',
    ],
    [
      'one without guarantees',
      without({ guarantees: undefined }),
      'store.guarantees.transactional: expected one of',
    ],
  ])('refuses %s', (_, value, message) => {
    expect(refusal({ store: value })).toContain(message)
    expect(refusal({ store: value })).not.toContain('password')
  })
})

describe('consumerGroup', () => {
  test.each([
    ['none', undefined, 'received undefined'],
    ['an empty one', '', 'received one of 0 characters'],
    ['one that is too long', 'x'.repeat(201), 'received one of 201 characters'],
    ['a number', 7, 'received 7'],
    ['an array', ['billing'], 'received an array'],
    ['an empty array', [], 'received an empty array'],
  ])('refuses %s', (_, value, message) => {
    const refused = refusal({ consumerGroup: value })
    expect(refused).toContain('consumerGroup: expected a string of 1 to 200 characters')
    expect(refused).toContain(`${message}; name what this consumer does`)
  })

  test('takes 200 characters of any kind', () => {
    expect(refusal({ consumerGroup: '\0\ud83d'.repeat(100) })).toBe('accepted')
  })
})

test.each([
  [
    'clock',
    {},
    'an object with nowMs(), monotonicMs(), after(), received an object (Object) without nowMs()',
  ],
  ['clock', Date, 'received a function'],
  ['random', Math, 'received an object (Object) without claimId()'],
  ['logger', {}, 'logger: expected an object with warn(), received an object (Object) without warn()'],
  [
    'acceptFindings',
    'all',
    'acceptFindings: expected an array of codes, received a string; give [] for none',
  ],
  ['acceptFindings', [1], 'received one with 1;'],
])('%s refuses %o', (name, value, message) => {
  expect(refusal({ [name]: value })).toContain(message)
})

describe('together', () => {
  test.each([
    [{ retentionMs: 1000, leaseMs: 2000 }, 'retentionMs: expected at least leaseMs (2000), received 1000'],
    [
      { storeTimeoutMs: 3000, leaseMs: 2000 },
      'storeTimeoutMs: expected at most leaseMs (2000), received 3000',
    ],
    [
      { strategy: 'transactional' },
      "expected a store with transactions for 'transactional', received 'memory' without",
    ],
  ])('refuses %j', (options, message) => {
    expect(refusal(options)).toContain(message)
  })

  test('refuses to process without the store that the transaction is in', () => {
    const guarantees = { ...store.guarantees, transactional: true }
    const transactional = Object.assign(new MemoryStore({ keysMax: 10 }), {
      guarantees,
      transaction: () => {},
    })
    const options = { store: transactional, strategy: 'transactional' }
    expect(refusal(options)).toBe('accepted')
    expect(refusal({ ...options, onStoreDown: 'process' })).toContain("onStoreDown: expected 'hold'")
    expect(refusal({ ...options, store: Object.assign(transactional, { transaction: 1 }) })).toContain(
      'without; use strategy',
    )
  })

  test('a short lease shortens the timeout that was not given', () => {
    expect(createDeduplicator({ ...valid, leaseMs: 700 }).settings.storeTimeoutMs).toBe(700)
  })
})

test.each([
  ['an option that does not exist', { ...valid, leaseMS: 1000 }, "received 'leaseMS'; correct the name"],
  ['an option with a long name', { ...valid, ['x'.repeat(100)]: 1 }, `received '${'x'.repeat(40)}';`],
  ['nothing', undefined, 'createDeduplicator: expected an options object, received undefined; pass { ... }'],
  ['null', null, 'received null'],
  ['a store itself', 'sqlite', 'received a string'],
])('%s is refused', (_, options, message) => {
  expect(() => createDeduplicator(options as unknown as typeof valid)).toThrow(message)
})

test('settings are frozen, and what was given may change afterwards', () => {
  const options = { ...valid, acceptFindings: ['a'], leaseMs: 1000 }
  const { settings } = createDeduplicator(options)
  options.leaseMs = 1
  options.acceptFindings.push('b')
  expect(settings).toMatchObject({ leaseMs: 1000, acceptFindings: ['a'] })
  expect(Object.isFrozen(settings) && Object.isFrozen(settings.acceptFindings)).toBe(true)
  expect(Object.isFrozen(deduplicatorDefaults)).toBe(true)
})

describe('the docstrings', () => {
  const source = readFileSync(new URL('../src/options.ts', import.meta.url), 'utf8')
  const body = /export interface DeduplicatorOptions[\s\S]*?\n}\n/.exec(source)?.[0] ?? ''
  const options = [...body.matchAll(/\/\*\*([\s\S]*?)\*\/\s+(\w+)(\??):/g)].map(
    ([, doc = '', name = '', mark]) => ({
      name,
      doc: doc.replaceAll(/\s*\n\s*\*\s?/g, ' ').trim(),
      optional: mark === '?',
    }),
  )
  const required = ['store', 'consumerGroup']

  test('are there for every option', () => {
    const byStrategy = ['handlerTimeoutMs']
    const without = ['logger', 'clock', 'random']
    const known = [...required, ...Object.keys(deduplicatorDefaults), ...byStrategy, ...without]
    expect(options.map(({ name }) => name).toSorted()).toEqual(known.toSorted())
    expect(options.filter(({ optional }) => !optional).map(({ name }) => name)).toEqual(required)
  })

  test.each(Object.entries(deduplicatorDefaults))('%s: its default is as it is written', (name, value) => {
    const written = /@default (.+)$/.exec(options.find((option) => option.name === name)?.doc ?? '')?.[1]
    expect(written?.replaceAll("'", '"')).toBe(JSON.stringify(value))
  })

  test.each(Object.keys(integers))('%s: its range is as it is written', (name) => {
    const doc = options.find((option) => option.name === name)?.doc ?? ''
    const [min, max] = [...doc.matchAll(/(\d+|`leaseMs`) to (\d+|`leaseMs`)/g)].at(-1)?.slice(1) ?? []
    const number = (text = ''): number => (text === '`leaseMs`' ? deduplicatorDefaults.leaseMs : Number(text))
    expect([number(min), number(max)]).toEqual(integers[name as keyof typeof integers])
  })
})
