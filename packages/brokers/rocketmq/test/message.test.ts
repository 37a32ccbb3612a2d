import { describe, expect, test } from 'vitest'
import type { RocketmqMessage } from '../src/index.ts'
import { jsonField, messageId, messageKeys, property, stampKeys } from '../src/index.ts'

function message(parts: Partial<RocketmqMessage> = {}): RocketmqMessage {
  return {
    messageId: '01AB',
    topic: 'orders',
    body: Buffer.from('{}'),
    keys: [],
    properties: new Map(),
    tag: '',
    ...parts,
  }
}

describe('messageKeys', () => {
  test('takes the key, scoped by the topic', () => {
    expect(messageKeys()(message({ keys: ['a'] }))).toBe('orders/a')
    expect(messageKeys({ topic: false })(message({ keys: ['a'] }))).toBe('/a')
  })

  test('takes all keys together, the first one, or none', () => {
    const several = message({ keys: ['a', 'b'] })
    expect(messageKeys()(several)).toBe('orders/a b')
    expect(messageKeys({ several: 'first' })(several)).toBe('orders/a')
    expect(() => messageKeys({ several: 'reject' })(several)).toThrow('expected one, received 2')
  })

  test('takes the message id where there are no keys, never mistaken for a key', () => {
    expect(messageKeys()(message())).toBe('orders#01AB')
    expect(messageKeys()(message({ keys: ['01AB'] }))).toBe('orders/01AB')
    expect(messageKeys({ without: 'none' })(message())).toBeUndefined()
  })

  test('lets the tag take part, never mistaken for the key', () => {
    const keyOf = messageKeys({ tag: true })
    expect(keyOf(message({ keys: ['a'], tag: 'T' }))).toBe('orders:1:T/a')
    expect(keyOf(message({ keys: ['b/a'], tag: 'T' }))).not.toBe(keyOf(message({ keys: ['a'], tag: 'T/b' })))
  })
})

test('reads the id, a property, or a field of the body', () => {
  expect(messageId()(message({ keys: ['a'] }))).toBe('orders#01AB')
  expect(property('x-id')(message({ properties: new Map([['x-id', '7']]) }))).toBe('orders/7')
  expect(property('x-id')(message())).toBeUndefined()
  expect(jsonField('order.id')(message({ body: Buffer.from('{"order":{"id":7}}') }))).toBe('orders/7')
  expect(jsonField('order.id')(message())).toBeUndefined()
})

describe('stampKeys', () => {
  test('stamps keys on a copy of the message', () => {
    const given = { topic: 'orders', body: Buffer.from('x') }
    expect(stampKeys(given, 'a', 'b')).toEqual({ ...given, keys: ['a', 'b'] })
    expect(given).not.toHaveProperty('keys')
  })

  test.each([
    [[], 'at least one key'],
    [[''], 'not empty'],
    [['a b'], 'without white space'],
    [['a\n'], 'without white space'],
    [[7 as unknown as string], 'received 7'],
  ])('refuses %j', (keys, said) => {
    expect(() => stampKeys({ topic: 't' }, ...keys)).toThrow(said)
  })
})
