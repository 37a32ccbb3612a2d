import { describe, expect, test } from 'vitest'

import { OncemqError } from '../src/index.ts'
import type { Key } from '../src/index.ts'
import { recordId } from '../src/store/index.ts'
import { keyText, printable, readableLabel, requireKey } from '../src/delivery/identity.ts'
import { setUp } from './set-up.ts'

const body = (text: string): Uint8Array => Buffer.from(text)

/** The outcomes of deliveries that come one after the other. */
async function outcomes(
  deliveries: readonly { key: Key | undefined; source?: string; body?: Uint8Array }[],
  options: Parameters<typeof setUp>[0] = {},
): Promise<string[]> {
  const { dedup } = await setUp(options)
  const statuses: string[] = []
  for (const delivery of deliveries) statuses.push((await dedup.process(delivery, () => {})).status)
  return statuses
}

describe('the source', () => {
  const fanned = [
    { key: 'a', source: 'orders' },
    { key: 'a', source: 'invoices' },
    { key: 'a' },
    { key: 'a', source: 'orders' },
  ]

  test('is part of the identity: one event that reaches two queues is handled for each', async () => {
    expect(await outcomes(fanned)).toEqual(['completed', 'completed', 'completed', 'duplicate'])
  })

  test('can be taken out of it', async () => {
    const statuses = await outcomes(fanned, { keyScope: 'group' })
    expect(statuses).toEqual(['completed', 'duplicate', 'duplicate', 'duplicate'])
  })

  test('is part of a hashed identity too', async () => {
    const hashed = ['orders', 'invoices', 'orders'].map((source) => ({
      key: undefined,
      source,
      body: body('x'),
    }))
    expect(await outcomes(hashed, { onMissingKey: 'hash' })).toEqual(['completed', 'completed', 'duplicate'])
  })

  test('says which record operators mean', async () => {
    const { dedup } = await setUp()
    await dedup.process({ key: 'a', source: 'orders' }, () => {})
    expect(await dedup.inspect('a')).toBeUndefined()
    expect(await dedup.inspect('a', { source: 'orders' })).toMatchObject({
      state: 'done',
      label: 'billing/orders/a',
    })
    await dedup.forget('a', { source: 'orders' })
    expect(await dedup.inspect('a', { source: 'orders' })).toBeUndefined()
  })

  test('is left out for operators where it is left out for deliveries', async () => {
    const { dedup } = await setUp({ keyScope: 'group' })
    await dedup.process({ key: 'a', source: 'orders' }, () => {})
    expect(await dedup.inspect('a', { source: 'elsewhere' })).toMatchObject({
      state: 'done',
      label: 'billing/a',
    })
  })
})

describe('kinds of identities', () => {
  test('never meet: a sender who chooses a key chooses no hash, and none of our own ids', () => {
    const ids = (['key', 'hash', 'unkeyed', 'internal'] as const).map((kind) => recordId('g', 'a', { kind }))
    expect(new Set(ids).size).toBe(4)
  })

  test('a key that looks like the hash of a payload is another record', async () => {
    const { dedup } = await setUp({ onMissingKey: 'hash' })
    let hash = ''
    await dedup.process({ key: undefined, body: body('x') }, ({ key = '' }) => void (hash = key))
    expect(hash).toMatch(/^[0-9a-f]{32}$/)
    expect((await dedup.process({ key: hash }, () => {})).status).toBe('completed')
    expect((await dedup.process({ key: undefined, body: body('x') }, () => {})).status).toBe('duplicate')
  })

  test('group, source and key are kept apart, wherever they are cut', () => {
    const whole = 'a1:2:-b3'
    const ids = new Set<string>()
    let count = 0
    for (let first = 1; first < whole.length; first += 1) {
      for (let second = first; second < whole.length; second += 1) {
        const source = first === second ? undefined : whole.slice(first, second)
        ids.add(recordId(whole.slice(0, first), whole.slice(second), { source }))
        count += 1
      }
    }
    ids.add(recordId('a', 'b', { source: '' }))
    ids.add(recordId('a', 'b'))
    expect(ids.size).toBe(count + 2)
  })
})

describe('a key of several parts', () => {
  test('is the same only if all parts are', async () => {
    const keys: Key[] = [
      ['a', 'bc'],
      ['ab', 'c'],
      ['abc'],
      ['1:a', 'bc'],
      'a:bc',
      ['a', 'bc', 'd'],
      ['bc', 'a'],
    ]
    const statuses = await outcomes([...keys, ['a', 'bc']].map((key) => ({ key })))
    expect(statuses).toEqual([...keys.map(() => 'completed'), 'duplicate'])
  })

  test('of one part is that part', async () => {
    expect(await outcomes([{ key: ['a'] }, { key: 'a' }])).toEqual(['completed', 'duplicate'])
    expect(keyText(['a'])).toBe('a')
  })

  test('is told to the handler as one text, another one for other parts', async () => {
    const { dedup } = await setUp()
    const texts: unknown[] = []
    for (const key of [
      ['a', 'bc'],
      ['ab', 'c'],
      ['1:a', 'b'],
    ]) {
      await dedup.process({ key }, (context) => void texts.push(context.key))
    }
    expect(texts).toEqual(['1:abc', '2:abc', '3:1:ab'])
  })

  test('that changes afterwards is the one that arrived', async () => {
    const { dedup } = await setUp()
    const parts = ['a', 'b']
    const first = dedup.process({ key: parts }, () => {})
    parts[0] = 'other'
    await first
    expect((await dedup.process({ key: ['a', 'b'] }, () => {})).status).toBe('duplicate')
  })
})

describe('a placeholder', () => {
  const placeholders = [
    'undefined',
    'null',
    'NaN',
    '[object Object]',
    '00000000-0000-0000-0000-000000000000',
    '{00000000-0000-0000-0000-000000000000}',
    '00000000000000000000000000000000',
    'UNDEFINED',
    '[object Promise]',
    'None',
    '<nil>',
    ' ',
  ]

  test.each(placeholders)('%s is refused: it would be one key for all events', async (key) => {
    const { dedup } = await setUp()
    for (const each of [key, ['a', key]]) {
      const outcome = await dedup.process({ key: each }, () => expect.unreachable())
      expect(outcome).toMatchObject({ status: 'rejected', reason: 'invalid-key' })
      expect('error' in outcome && String(outcome.error)).toContain("set onPlaceholderKey to 'accept'")
    }
    await expect(dedup.run(key, () => {})).rejects.toMatchObject({ code: 'ONCEMQ_KEY_INVALID' })
  })

  test.each(placeholders)('%s is a key like any other where that is asked for', async (key) => {
    const statuses = await outcomes([{ key }, { key }], { onPlaceholderKey: 'accept' })
    expect(statuses).toEqual(['completed', 'duplicate'])
  })

  test.each(['nulls', '0', 'undefined ', '[]', '[object ]', 'a b', '0000', '<nil'])('%o is none', (key) => {
    expect(() => requireKey(key, 'reject')).not.toThrow()
  })

  test('that is accepted opens no door for what is no key at all', () => {
    expect(() => requireKey('', 'accept')).toThrow('an empty string')
  })
})

describe('a key that could not be read', () => {
  test('is refused with the error of whoever read it', async () => {
    const { dedup, told } = await setUp()
    const error = new OncemqError('ONCEMQ_KEY_INVALID', 'the body is no JSON')
    const outcome = await dedup.process({ key: error, startsBefore: 3 }, () => expect.unreachable())
    expect(outcome).toEqual({ status: 'rejected', reason: 'invalid-key', error, attempt: 3 })
    expect(told).toEqual([{ name: 'rejected', key: undefined, reason: 'invalid-key' }])
  })

  test('that was decoded with loss is refused, never approximated', async () => {
    const { dedup } = await setUp()
    for (const key of ['\ufffd', 'order-\ufffd\ufffd', ['a', '\ufffd']]) {
      const outcome = await dedup.process({ key }, () => expect.unreachable())
      expect(outcome).toMatchObject({ status: 'rejected', reason: 'invalid-key' })
    }
  })
})

describe('a result that is replayed', () => {
  test('goes only to those who send the same payload, whatever the option says', async () => {
    const { dedup } = await setUp()
    const deliver = (text: string) =>
      dedup.process({ key: 'a', body: body(text), fingerprint: true }, () => body('receipt'))
    expect((await deliver('mine')).status).toBe('completed')
    expect(await deliver('mine')).toMatchObject({ status: 'duplicate', result: expect.anything() as unknown })
    const impostor = await deliver('theirs')
    expect(impostor).toMatchObject({ status: 'rejected', reason: 'conflict' })
    expect(impostor).not.toHaveProperty('result')
  })

  test('of a run too: another body gets a conflict and not the value', async () => {
    const { dedup } = await setUp()
    const result = { encode: (value: string) => body(value), decode: (bytes: Uint8Array) => String(bytes) }
    const run = (text: string) => dedup.run('a', () => 'receipt', { result, body: body(text) })
    expect(await run('mine')).toMatchObject({ status: 'completed' })
    await expect(run('theirs')).rejects.toMatchObject({ code: 'ONCEMQ_CONFLICT' })
    expect(await run('mine')).toMatchObject({ status: 'duplicate' })
  })
})

describe('what is shown to people', () => {
  test('has nothing in it that a terminal or a log viewer would act on', () => {
    const label = readableLabel('g\u001b[2J', 'q\r\n', 'k\u0000\u202e\u2066\u200f\u2029\u009b')
    expect(label).toBe('g\u241b[2J/q\u240d\u240a/k\u2400\ufffd\ufffd\ufffd\ufffd\ufffd')
  })

  test('is otherwise as it is', () => {
    const text = 'Zoë 名前 😀 a/b?c=d'
    expect(printable(text)).toBe(text)
  })
})
