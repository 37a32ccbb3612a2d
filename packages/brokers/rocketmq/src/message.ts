import { OncemqError } from '@oncemq/core'
import type { RocketmqMessage } from './client.ts'

/** Reads a message's key, once, when it arrives. `undefined` where the message has none. */
export type KeyOf = (message: RocketmqMessage) => string | undefined

/** How the parts of a message make its key. */
export interface KeyParts {
  /**
   * Whether the topic is part of the key, so that two topics of one consumer group do not meet.
   * @default true
   */
  topic?: boolean
  /**
   * Whether the tag is part of the key.
   * @default false
   */
  tag?: boolean
}

/** Options of {@link messageKeys}. */
export interface MessageKeysOptions extends KeyParts {
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
}

/** The key is the message's `keys`, or its `messageId` where it has none. The default. */
export function messageKeys(options: MessageKeysOptions = {}): KeyOf {
  const { several = 'all', without = 'messageId', ...parts } = options
  const byId = messageId(parts)
  return (message) => {
    const [first, ...others] = message.keys
    if (first === undefined) return without === 'messageId' ? byId(message) : undefined
    if (others.length === 0 || several === 'first') return scoped(message, parts, `/${first}`)
    if (several === 'all') return scoped(message, parts, `/${message.keys.join(' ')}`)
    throw new OncemqError('ONCEMQ_KEY_INVALID', `keys: expected one, received ${message.keys.length}`)
  }
}

/** The key is the `messageId`: stable when the broker delivers again, another when a producer sends again. */
export function messageId(parts: KeyParts = {}): KeyOf {
  return (message) => scoped(message, parts, `#${message.messageId}`)
}

/** The key is a property of the message. */
export function property(name: string, parts: KeyParts = {}): KeyOf {
  return (message) => {
    const value = message.properties.get(name)
    return value === undefined || value === '' ? undefined : scoped(message, parts, `/${value}`)
  }
}

/**
 * The key is a field of a JSON body. Bodies that are not JSON have an invalid key.
 * @param path names of nested fields, joined by dots: `order.id`
 */
export function jsonField(path: string, parts: KeyParts = {}): KeyOf {
  const names = path.split('.')
  return (message) => {
    let value: unknown = JSON.parse(message.body.toString())
    for (const name of names) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
      value = (value as Record<string, unknown>)[name]
    }
    if (value === '' || value === null) return undefined
    // Whole numbers are ids in many bodies. Anything else is for the core to reject.
    const text = typeof value === 'number' && Number.isSafeInteger(value) ? `${value}` : value
    return typeof text === 'string' ? scoped(message, parts, `/${text}`) : (text as undefined)
  }
}

/** Never throws: what a key function throws becomes a key that the core rejects, never a lost message. */
export function readKey(keyOf: KeyOf, message: RocketmqMessage): string | undefined {
  try {
    return keyOf(message)
  } catch (cause) {
    return new OncemqError('ONCEMQ_KEY_INVALID', 'the key function threw', { cause }) as unknown as string
  }
}

/**
 * No parts can be mistaken for others: a topic has none of these signs, `keys` have no spaces on their way,
 * and the tag stands with its length.
 */
function scoped({ topic, tag = '' }: RocketmqMessage, parts: KeyParts, rest: string): string {
  const scope = parts.topic === false ? '' : topic
  return parts.tag === true ? `${scope}:${tag.length}:${tag}${rest}` : `${scope}${rest}`
}
