import { describe, expect, test } from 'vitest'
import type { KafkaMessage } from '../src/index.ts'
import {
  cloudEvents,
  debeziumOutbox,
  header,
  jsonField,
  messageId,
  position,
  recordKey,
  stampId,
} from '../src/index.ts'

function message(parts: Partial<KafkaMessage> = {}): KafkaMessage {
  const place = { topic: 'orders', partition: 3, offset: '9007199254740993', timestamp: '1700000000000' }
  return { ...place, key: null, value: Buffer.from('{}'), headers: {}, ...parts }
}

const PLACE = ['position', 'orders', '3', '9007199254740993', '1700000000000']

describe('messageId', () => {
  test('is the stamped id, and the position where there is none, never mistaken for an id', () => {
    expect(messageId()(message({ headers: { 'message-id': Buffer.from('a') } }))).toBe('a')
    expect(messageId()(message())).toEqual(PLACE)
    expect(messageId()(message({ headers: { 'message-id': Buffer.from('') } }))).toEqual(PLACE)
  })
})

test('a position is another one when its topic was made anew', () => {
  expect(position()(message())).not.toEqual(position()(message({ timestamp: '1800000000000' })))
})

describe('header', () => {
  test('is read as text, and not from what every object has', () => {
    expect(header('id')(message({ headers: { id: Buffer.from('é') } }))).toBe('é')
    expect(header('id')(message({ headers: { id: '7' } }))).toBe('7')
    expect(header('constructor')(message())).toBeUndefined()
  })

  test('that cannot be read without loss is invalid', () => {
    expect(() => header('id')(message({ headers: { id: Buffer.from([0xff]) } }))).toThrow('UTF-8')
    expect(() => header('id')(message({ headers: { id: ['a', 'b'] } }))).toThrow("one header 'id'")
  })
})

test('the record key and a field of the value', () => {
  expect(recordKey()(message({ key: Buffer.from('a') }))).toBe('a')
  expect(recordKey()(message())).toBeUndefined()
  expect(() => recordKey()(message({ key: Buffer.from([0xc3]) }))).toThrow('UTF-8')
  expect(jsonField('order.id')(message({ value: Buffer.from('{"order":{"id":7}}') }))).toBe('7')
  expect(jsonField('order.id')(message({ value: null }))).toBeUndefined()
})

test('events of others: CloudEvents in both modes, and those of Debezium', () => {
  const binary = { ce_source: Buffer.from('/shop'), ce_id: Buffer.from('1') }
  expect(cloudEvents()(message({ headers: binary }))).toEqual(['/shop', '1'])
  const structured = {
    headers: { 'content-type': Buffer.from('application/cloudevents+json; charset=utf-8') },
    value: Buffer.from('{"source":"/shop","id":"1"}'),
  }
  expect(cloudEvents()(message(structured))).toEqual(['/shop', '1'])
  expect(cloudEvents()(message())).toBeUndefined()
  expect(debeziumOutbox()(message({ headers: { id: Buffer.from('e1') } }))).toBe('e1')
})

describe('stampId', () => {
  test('puts the id beside the headers of the sender, and changes nothing', () => {
    const given = { key: 'o1', value: 'x', headers: { trace: 't' } }
    expect(stampId(given, 'e1')).toEqual({ ...given, headers: { trace: 't', 'message-id': 'e1' } })
    expect(given.headers).toEqual({ trace: 't' })
    expect(stampId(stampId({ value: 'x' }, 'e1'), 'e1')).toEqual({
      value: 'x',
      headers: { 'message-id': 'e1' },
    })
  })

  test.each([
    ['no text', 7],
    ['an empty one', ''],
    ['text that cannot be sent', '\uD800'],
    ['text that came here with loss', 'a\uFFFD'],
  ])('refuses %s', (_, id) => {
    expect(() => stampId({}, id as string)).toThrow(
      expect.objectContaining({ code: 'ONCEMQ_OPTION_INVALID' }) as Error,
    )
  })

  test('refuses a second id', () => {
    expect(() => stampId(stampId({}, 'a'), 'b')).toThrow('one with another')
  })
})
