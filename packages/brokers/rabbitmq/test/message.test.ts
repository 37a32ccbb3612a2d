import { describe, expect, test } from 'vitest'
import type { AmqpMessage, AmqpProperties } from '../src/index.ts'
import { cloudEvents, debeziumOutbox, header, jsonField, messageId } from '../src/index.ts'
import { readKey, systemClock } from '@oncemq/core/broker'
import { readArrival, sealedHeaders } from '../src/arrival.ts'
import { copyable, wholeOf } from '../src/copyable.ts'

function message(properties: AmqpProperties, body = ''): AmqpMessage {
  const fields = { deliveryTag: 1, redelivered: false, exchange: '', routingKey: 'q' }
  return { content: Buffer.from(body), fields, properties }
}

function withHeaders(headers: Record<string, unknown>): AmqpMessage {
  return message({ headers })
}

describe('key presets', () => {
  test('messageId: an empty one is none', () => {
    expect(messageId()(message({ messageId: 'a' }))).toBe('a')
    expect(messageId()(message({ messageId: '' }))).toBe(undefined)
    expect(messageId()(message({}))).toBe(undefined)
  })

  test('header: text or a whole number; anything else is for the core to reject', () => {
    expect(header('x-id')(withHeaders({ 'x-id': 'a' }))).toBe('a')
    expect(header('x-id')(withHeaders({ 'x-id': 7 }))).toBe('7')
    expect(header('x-id')(withHeaders({ 'x-id': 7.5 }))).toBe(7.5)
    expect(header('x-id')(withHeaders({ 'x-id': null }))).toBe(undefined)
    expect(header('x-id')(message({}))).toBe(undefined)
    expect(debeziumOutbox()(withHeaders({ id: 'e1' }))).toBe('e1')
  })

  test('jsonField: by path, own fields only; what is not JSON throws', () => {
    const body = (text: string): AmqpMessage => message({}, text)
    expect(jsonField('order.id')(body('{"order":{"id":"a"}}'))).toBe('a')
    expect(jsonField('order.id')(body('{"order":{"id":12}}'))).toBe('12')
    expect(jsonField('order.id')(body('{"order":null}'))).toBe(undefined)
    expect(jsonField('constructor.name')(body('{}'))).toBe(undefined)
    expect(() => jsonField('id')(body('not JSON'))).toThrow(/expected a JSON body/)
  })

  test('cloudEvents: source and id together, with no two pairs alike', () => {
    const keyOf = (source: string, id: string): unknown =>
      cloudEvents()(withHeaders({ 'cloudEvents:source': source, 'cloudEvents:id': id }))
    expect(keyOf('a', 'bc')).not.toEqual(keyOf('ab', 'c'))
    expect(cloudEvents()(withHeaders({ cloudEvents_source: 'a', cloudEvents_id: 'b' }))).toEqual(
      keyOf('a', 'b'),
    )
    expect(cloudEvents()(withHeaders({ 'ce-source': 'a', 'ce-id': 'b' }))).toEqual(keyOf('a', 'b'))
    const structured = { contentType: 'application/cloudevents+json; charset=utf-8' }
    expect(cloudEvents()(message(structured, '{"source":"a","id":"b"}'))).toEqual(keyOf('a', 'b'))
    expect(cloudEvents()(withHeaders({ 'cloudEvents:id': 'b' }))).toBe(undefined)
  })

  test('a key function that throws answers what the core rejects', () => {
    const key = readKey(() => {
      throw new Error('mine')
    }, message({}))
    expect(key).toMatchObject({ code: 'ONCEMQ_KEY_INVALID', cause: { message: 'mine' } })
  })
})

describe('the properties of a copy', () => {
  test('are those of the message, with what would act on the copy set aside', () => {
    const properties = {
      contentType: 'text/plain',
      deliveryMode: 2,
      priority: 3,
      correlationId: 'c',
      replyTo: 'r',
      messageId: 'm',
      timestamp: 4,
      type: 't',
      appId: 'a',
    }
    const headers = { mine: 1, CC: ['elsewhere'], 'x-delivery-count': 3 }
    const acting = { expiration: '5', userId: 'guest', headers }
    expect(copyable({ ...properties, ...acting })).toEqual({
      properties,
      headers: { mine: 1 },
      setAside: { properties: { expiration: '5', userId: 'guest' }, headers: { CC: ['elsewhere'] } },
      unwritable: [],
    })
  })
})

test('a message is told by all that its sender wrote, and by nothing that was written on its way', () => {
  const secret = Buffer.from('secret')
  const read = (arrived: AmqpMessage) => readArrival(arrived, { queue: 'q', clock: systemClock, secret })
  const whole = (arrived: AmqpMessage): string => Buffer.from(wholeOf(read(arrived))).toString()
  const headers = { 'x-type': 'paid', BCC: ['others'], at: { '!': 'timestamp', value: 7 } }
  const sent = message({ type: 'event', deliveryMode: 2, expiration: '9', headers })
  const { headers: kept, properties, setAside } = copyable(sent.properties)
  const original = { properties: { ...setAside.properties, deliveryMode: 2 }, headers: setAside.headers }
  const provenance = { kind: 'retry', source: 'q', starts: 2, firstAtMs: 1, original } as const
  const sealed = sealedHeaders(secret, provenance, { body: sent.content, id: '' })
  const onItsWay = { 'x-delivery-count': 3, 'x-acquired-count': 4, 'x-death': [{ queue: 'other', count: 1 }] }
  const copy = message({ ...properties, deliveryMode: 2, headers: { ...kept, ...sealed, ...onItsWay } })
  const again = { ...copy, fields: { ...copy.fields, redelivered: true } }
  expect(whole(again)).toBe(whole(sent))
  const others = [
    message({ ...sent.properties, headers: { ...headers, 'x-type': 'refunded' } }),
    message({ ...sent.properties, type: 'command' }),
    message(sent.properties, 'a body'),
    { ...sent, fields: { ...sent.fields, exchange: 'e' } },
    { ...sent, fields: { ...sent.fields, routingKey: 'other' } },
  ]
  expect(new Set([sent, ...others].map(whole)).size).toBe(6)
})

test('a copy tells its starts, and which of them were returns; the broker counts on', () => {
  const secret = Buffer.from('secret')
  const provenance = {
    kind: 'retry',
    source: 'q',
    starts: 5,
    returns: 3,
    firstAtMs: 7,
    original: {},
  } as const
  const copy = withHeaders({})
  const sealed = sealedHeaders(secret, provenance, { body: copy.content, id: '' })
  const arrive = (redelivered: boolean, headers: Record<string, unknown>) => {
    const { fields, ...rest } = withHeaders(headers)
    const arrived = { ...rest, fields: { ...fields, redelivered } }
    return readArrival(arrived, { queue: 'q', clock: systemClock, secret })
  }
  expect(arrive(false, sealed)).toMatchObject({ startsBefore: 5, returnsBefore: 3, firstAtMs: 7 })
  expect(arrive(true, { ...sealed, 'x-delivery-count': 2 })).toMatchObject({
    startsBefore: 7,
    returnsBefore: 5,
  })
  expect(arrive(true, {})).toMatchObject({ startsBefore: 1, returnsBefore: 1 })
})
