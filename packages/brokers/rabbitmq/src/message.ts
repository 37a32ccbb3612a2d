import type { Key } from '@oncemq/core'
import type { JsonFieldOptions, KeyOf as CoreKeyOf } from '@oncemq/core/broker'
import { jsonFieldOf, keyValue, requireText } from '@oncemq/core/broker'
import type { AmqpMessage } from './amqp.ts'

/** Reads a message's key, once, when it arrives. `undefined` where the message has none. */
export type KeyOf = CoreKeyOf<AmqpMessage>

/** The key is the property `messageId`. The default. */
export function messageId(): KeyOf {
  return ({ properties }) => keyValue(properties.messageId)
}

/** The key is a header. */
export function header(name: string): KeyOf {
  requireText('header', name, "name one, such as header('x-event-id')")
  return ({ properties: { headers } }) =>
    headers !== undefined && Object.hasOwn(headers, name) ? keyValue(headers[name]) : undefined
}

/**
 * The key is a field of a JSON body. Bodies that are not JSON in UTF-8, or are larger than `bytesMax`, have
 * an invalid key.
 * @param path names of nested fields, joined by dots: `order.id`
 * @example jsonField('order.id')
 */
export function jsonField(path: string, options: JsonFieldOptions = {}): KeyOf {
  requireText('jsonField', path, "name the field, such as jsonField('order.id')")
  return ({ content }) => jsonFieldOf(content, path, options)
}

/**
 * What stands before an attribute's name in binary mode: by the binding for AMQP, and by what others send.
 */
const PREFIXES = ['cloudEvents:', 'cloudEvents_', 'ce-', 'ce_'] as const
const STRUCTURED = 'application/cloudevents'

/**
 * The key is source and id of a CloudEvent, which are unique together: of one in binary mode, under each of
 * the prefixes in use, or of one in structured mode (`application/cloudevents+json`).
 */
export function cloudEvents(options: JsonFieldOptions = {}): KeyOf {
  return (message) => {
    const { content, properties } = message
    if (properties.contentType?.toLowerCase().startsWith(STRUCTURED) === true) {
      return together(jsonFieldOf(content, 'source', options), jsonFieldOf(content, 'id', options))
    }
    const attribute = (name: string): Key | undefined => {
      const found = PREFIXES.map((prefix) => header(`${prefix}${name}`)(message))
      return found.find((value) => value !== undefined)
    }
    return together(attribute('source'), attribute('id'))
  }
}

function together(source: Key | undefined, id: Key | undefined): Key | undefined {
  // A value that is no text is for the core to reject.
  return source === undefined || id === undefined ? undefined : [source as string, id as string]
}

/** The key is the event id that Debezium's outbox router puts into the header `id`. */
export function debeziumOutbox(): KeyOf {
  return header('id')
}
