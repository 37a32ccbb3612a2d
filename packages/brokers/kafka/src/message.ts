import type { Key } from '@oncemq/core'
import { OncemqError } from '@oncemq/core'
import type { JsonFieldOptions, KeyOf as KeyOfMessage } from '@oncemq/core/broker'
import { jsonFieldOf, keyValue, requireText } from '@oncemq/core/broker'
import type { KafkaMessage } from './client.ts'
import { ID_HEADER } from './stamp-id.ts'

/** Reads a record's key, once, when it arrives. `undefined` where the record has none. */
export type KeyOf = KeyOfMessage<KafkaMessage>

/**
 * The key is the header that `stampId` sets, or the record's position where there is none: so a redelivery
 * is always known, and what a producer sends again is where it was stamped. The default.
 */
export function messageId(): KeyOf {
  const stamped = header(ID_HEADER)
  const byPosition = position()
  return (message) => stamped(message) ?? byPosition(message)
}

/**
 * The key is topic, partition and offset: known when the broker delivers again, another when a producer sends
 * again. The record's time is part of it, since a topic that is made anew begins again with offset 0. It is
 * no word that a sender could choose as a key.
 */
export function position(): KeyOf {
  return ({ topic, partition, offset, timestamp }): Key => [
    'position',
    topic,
    `${partition}`,
    offset,
    timestamp,
  ]
}

/**
 * The key is a header, as text in UTF-8. One that is given several times is invalid.
 * @example consume({ key: header('x-event-id'), ... })
 */
export function header(name: string): KeyOf {
  requireText('header', name, "name one, such as header('x-event-id')")
  return ({ headers }) => {
    const value = Object.hasOwn(headers, name) ? headers[name] : undefined
    if (Array.isArray(value)) throw invalid(`one header '${name}'`, `${value.length}`, 'send one')
    return typeof value === 'object' ? textOf(value as Buffer) : keyValue(value)
  }
}

/**
 * The key is the record's own key. Only for topics in which no two events have the same one: mostly it is the
 * id of what an event is about, so that a second event of an order would count as a duplicate of the first.
 */
export function recordKey(): KeyOf {
  return ({ key }) => (key === null ? undefined : textOf(key))
}

/**
 * The key is a field of a JSON value. Values that are not JSON in UTF-8, or are too large to be parsed, have
 * an invalid key.
 * @param path names of nested fields, joined by dots: `order.id`
 * @example consume({ key: jsonField('order.id'), ... })
 */
export function jsonField(path: string, options: JsonFieldOptions = {}): KeyOf {
  requireText('jsonField', path, "name the field, such as jsonField('order.id')")
  return ({ value }) => (value === null ? undefined : jsonFieldOf(value, path, options))
}

const STRUCTURED = 'application/cloudevents'

/**
 * The key is source and id of a CloudEvent, which are unique together: in binary mode (`ce_source`, `ce_id`)
 * or structured mode (`application/cloudevents+json`).
 */
export function cloudEvents(options: JsonFieldOptions = {}): KeyOf {
  return (message) => {
    const contentType = header('content-type')(message)
    const isStructured = typeof contentType === 'string' && contentType.toLowerCase().startsWith(STRUCTURED)
    const attribute = (name: string): Key | undefined =>
      isStructured ? (jsonField(name, options)(message) as Key | undefined) : binary(name, message)
    const [source, id] = [attribute('source'), attribute('id')]
    // A value that is no text is for the core to reject.
    return source === undefined || id === undefined ? undefined : [source as string, id as string]
  }
}

function binary(name: string, message: KafkaMessage): Key | undefined {
  return (header(`ce_${name}`)(message) ?? header(`ce-${name}`)(message)) as Key | undefined
}

/** The key is the event id that Debezium's outbox router puts into the header `id`. */
export function debeziumOutbox(): KeyOf {
  return header('id')
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function textOf(bytes: Buffer): Key | undefined {
  try {
    return keyValue(utf8.decode(bytes))
  } catch {
    throw invalid('text in UTF-8', 'other bytes', 'send the id as text')
  }
}

function invalid(expected: string, what: string, remedy: string): OncemqError {
  return new OncemqError('ONCEMQ_KEY_INVALID', `key: expected ${expected}, received ${what}; ${remedy}`)
}
