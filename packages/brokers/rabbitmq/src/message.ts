import { OncemqError } from '@oncemq/core'
import type { AmqpMessage } from './amqp.ts'

/** Reads a message's key, once, when it arrives. `undefined` where the message has none. */
export type KeyOf = (message: AmqpMessage) => string | undefined

/** The key is the property `messageId`. The default. */
export function messageId(): KeyOf {
  return ({ properties }) => present(properties.messageId)
}

/** The key is a header. */
export function header(name: string): KeyOf {
  return ({ properties }) => present(properties.headers?.[name])
}

/**
 * The key is a field of a JSON body. Bodies that are not JSON have an invalid key.
 * @param path names of nested fields, joined by dots: `order.id`
 */
export function jsonField(path: string): KeyOf {
  const names = path.split('.')
  return ({ content }) => {
    let value: unknown = JSON.parse(content.toString())
    for (const name of names) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
      value = (value as Record<string, unknown>)[name]
    }
    return present(value)
  }
}

/** The key is source and id of a CloudEvent in binary mode, which are unique together. */
export function cloudEvents(): KeyOf {
  return ({ properties: { headers } }) => {
    const attribute = (name: string): string | undefined =>
      present(headers?.[`cloudEvents:${name}`] ?? headers?.[`cloudEvents_${name}`])
    const [source, id] = [attribute('source'), attribute('id')]
    // The length keeps ('a', 'bc') and ('ab', 'c') apart.
    return source === undefined || id === undefined ? undefined : `${source.length}:${source}${id}`
  }
}

/** The key is the event id that Debezium's outbox router puts into the header `id`. */
export function debeziumOutbox(): KeyOf {
  return header('id')
}

/** Never throws: what a key function throws becomes a key that the core rejects, never a lost message. */
export function readKey(keyOf: KeyOf, message: AmqpMessage): string | undefined {
  try {
    return keyOf(message)
  } catch (cause) {
    return new OncemqError('ONCEMQ_KEY_INVALID', 'the key function threw', { cause }) as unknown as string
  }
}

/**
 * An empty string counts as none; whole numbers are ids in many bodies. Anything else is for the core to
 * reject.
 */
function present(value: unknown): string | undefined {
  if (value === '' || value === null) return undefined
  return typeof value === 'number' && Number.isSafeInteger(value) ? `${value}` : (value as string | undefined)
}
