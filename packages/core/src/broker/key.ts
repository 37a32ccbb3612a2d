import type { Key } from '../delivery/identity.ts'
import { isOncemqError, OncemqError, readable, received } from '../errors.ts'

/** Reads a message's key, once, when it arrives. `undefined` where the message has none. */
export type KeyOf<Message> = (message: Message) => Key | undefined

/** A body up to this size is parsed for a key, in bytes; the default of `jsonField`. */
export const JSON_BYTES_MAX = 1_048_576

/** Options of an adapter's `jsonField`. */
export interface JsonFieldOptions {
  /**
   * The largest body that is parsed. A larger one has an invalid key: to parse it holds up everything else in
   * the process, before any start of its handler is counted. Bytes, at least 1.
   * @default 1048576
   */
  bytesMax?: number
}

/**
 * Reads the key of a message. Never throws: what the key function throws becomes an error in the key's place,
 * which the core rejects, with the original as its cause.
 */
export function readKey<Message>(keyOf: KeyOf<Message>, message: Message): Key | OncemqError | undefined {
  try {
    const key: unknown = keyOf(message)
    // That it answers later is found out by the core; what it then throws must not end the process.
    if (key instanceof Promise) key.catch(() => undefined)
    return key as Key | undefined
  } catch (thrown) {
    const cause = readable(thrown)
    if (isOncemqError(cause)) return cause
    return new OncemqError(
      'ONCEMQ_KEY_INVALID',
      `key: expected the key function to answer, but it threw ${received(cause)}; its cause says more`,
      { cause },
    )
  }
}

/**
 * A value from a header, a property or a body as a key: a string as it is, a whole number as its digits. An
 * empty string or null counts as none. What cannot be read without loss is left for the core to reject.
 */
export function keyValue(value: unknown): Key | undefined {
  if (value === '' || value === null) return undefined
  return typeof value === 'number' && Number.isSafeInteger(value) ? `${value}` : (value as Key | undefined)
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * The field at `path` (names joined by dots) of a JSON body, as a key. A byte order mark is skipped.
 * @throws OncemqError `ONCEMQ_KEY_INVALID` for a body that is too large, not UTF-8 or not JSON.
 */
export function jsonFieldOf(
  body: Uint8Array,
  path: string,
  { bytesMax = JSON_BYTES_MAX }: JsonFieldOptions = {},
): Key | undefined {
  let value = parsed(body, bytesMax)
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as Record<string, unknown>)[name]
  }
  return keyValue(value)
}

function parsed(body: Uint8Array, bytesMax: number): unknown {
  if (body.byteLength > bytesMax) {
    throw invalid(
      `a body of up to ${bytesMax} bytes`,
      `${body.byteLength}`,
      'raise bytesMax, or use a header',
    )
  }
  let text: string
  try {
    text = utf8.decode(body)
  } catch {
    throw invalid('a JSON body in UTF-8', 'other bytes', 'send JSON in UTF-8')
  }
  try {
    return JSON.parse(text)
  } catch {
    // The error of the parser quotes the body.
    throw invalid('a JSON body', 'another one', 'send JSON, or use a header')
  }
}

function invalid(expected: string, what: string, remedy: string): OncemqError {
  return new OncemqError('ONCEMQ_KEY_INVALID', `key: expected ${expected}, received ${what}; ${remedy}`)
}
