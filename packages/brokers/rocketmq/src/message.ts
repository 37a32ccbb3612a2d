import type { Key } from '@oncemq/core'
import { OncemqError } from '@oncemq/core'
import type { JsonFieldOptions, KeyOf as KeyOfMessage } from '@oncemq/core/broker'
import { jsonFieldOf, keyValue, requireText } from '@oncemq/core/broker'
import type { RocketmqMessage } from './client.ts'

/** Reads a message's key, once, when it arrives. `undefined` where the message has none. */
export type KeyOf = KeyOfMessage<RocketmqMessage>

/** Options of {@link messageKeys}. */
export interface MessageKeysOptions {
  /**
   * What a message with several keys counts as: `all` of them together, the `first` one alone, or an
   * invalid key (`reject`). Others than `all` take two messages that share a key for the same one.
   * @default 'all'
   */
  several?: 'all' | 'first' | 'reject'
  /**
   * What a message without keys counts as: its `messageId`, which is new for each `send()`, or `none`.
   * @default 'messageId'
   */
  without?: 'messageId' | 'none'
  /**
   * Whether the tag is part of the key.
   * @default false
   */
  tag?: boolean
}

/**
 * The key is the message's `keys`, or its `messageId` where it has none. The default.
 * @example consume({ key: messageKeys({ several: 'first' }), ... })
 */
export function messageKeys({
  several = 'all',
  without = 'messageId',
  tag: withTag = false,
}: MessageKeysOptions = {}): KeyOf {
  const byId = messageId()
  return (message) => {
    const { keys, tag = '' } = message
    if (keys.length > 1 && several === 'reject') {
      throw new OncemqError('ONCEMQ_KEY_INVALID', `keys: expected one, received ${keys.length}; send one`)
    }
    const key = keys.length > 1 && several === 'all' ? ['keys', ...keys] : keyValue(keys[0])
    const known = key ?? (without === 'messageId' ? byId(message) : undefined)
    return withTag && known !== undefined ? ['tag', `#${tag}`, ...[known].flat()] : known
  }
}

/**
 * The key is the `messageId`: stable when the broker delivers again, another when a producer sends again. It
 * is no word that a sender could choose as a key.
 * @example consume({ key: messageId(), ... })
 */
export function messageId(): KeyOf {
  return (message): Key => ['messageId', message.messageId]
}

/**
 * The key is a property of the message.
 * @example consume({ key: property('x-order-id'), ... })
 */
export function property(name: string): KeyOf {
  requireText('property', name, "name one, such as property('x-order-id')")
  return (message) => keyValue(message.properties.get(name))
}

/**
 * The key is a field of a JSON body. Bodies that are not JSON, or are too large to be parsed, have an invalid
 * key.
 * @param path names of nested fields, joined by dots: `order.id`
 * @example consume({ key: jsonField('order.id'), ... })
 */
export function jsonField(path: string, options: JsonFieldOptions = {}): KeyOf {
  requireText('jsonField', path, "name the field, such as jsonField('order.id')")
  return (message) => jsonFieldOf(message.body, path, options)
}
