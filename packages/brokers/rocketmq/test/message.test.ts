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
  test('takes the key as it is', () => {
    expect(messageKeys()(message({ keys: ['a'] }))).toBe('a')
  })

  test('takes all keys together, the first one, or none', () => {
    const several = message({ keys: ['a', 'b'] })
    expect(messageKeys()(several)).toEqual(['keys', 'a', 'b'])
    expect(messageKeys({ several: 'first' })(several)).toBe('a')
    expect(() => messageKeys({ several: 'reject' })(several)).toThrow('expected one, received 2')
  })

  test('takes the message id where there are no keys, never mistaken for a key', () => {
    expect(messageKeys()(message())).toEqual(['messageId', '01AB'])
    expect(messageKeys()(message({ keys: ['01AB'] }))).toBe('01AB')
    expect(messageKeys()(message({ keys: ['messageId', '01AB'] }))).toEqual(['keys', 'messageId', '01AB'])
    expect(messageKeys({ without: 'none' })(message())).toBeUndefined()
  })

  test('lets the tag take part, never mistaken for the key', () => {
    const keyOf = messageKeys({ tag: true })
    expect(keyOf(message({ keys: ['a'], tag: 'T' }))).toEqual(['tag', '#T', 'a'])
    expect(keyOf(message({ keys: ['a'] }))).toEqual(['tag', '#', 'a'])
    expect(keyOf(message({ keys: ['a', 'b'], tag: 'T' }))).toEqual(['tag', '#T', 'keys', 'a', 'b'])
    expect(messageKeys({ tag: true, without: 'none' })(message({ tag: 'T' }))).toBeUndefined()
  })
})

test('reads the id, a property, or a field of the body', () => {
  expect(messageId()(message({ keys: ['a'] }))).toEqual(['messageId', '01AB'])
  expect(property('x-id')(message({ properties: new Map([['x-id', '7']]) }))).toBe('7')
  expect(property('x-id')(message())).toBeUndefined()
  expect(jsonField('order.id')(message({ body: Buffer.from('{"order":{"id":7}}') }))).toBe('7')
  expect(jsonField('order.id')(message())).toBeUndefined()
})

test('parses no body that is too large for it', () => {
  const large = message({ body: Buffer.from(`{"id":"${'x'.repeat(100)}"}`) })
  expect(() => jsonField('id', { bytesMax: 99 })(large)).toThrow('raise bytesMax')
  expect(jsonField('id')(large)).toHaveLength(100)
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
