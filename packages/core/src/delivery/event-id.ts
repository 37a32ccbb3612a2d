import { hash } from 'node:crypto'
import { OncemqError } from '../errors.ts'
import { requireKey } from './identity.ts'

const HEX_DIGITS = 32

/**
 * The id of a business event, made of what is unique about it: the same parts give the same id, on every
 * machine and after every restart, and other parts another one, wherever the boundaries between them are.
 * Stamp it on the message; a producer that sends again then sends the same id.
 *
 * It has the shape of a UUID (version 8, RFC 9562), which every broker takes: 122 bits of SHA-256 over the
 * parts, each with its length before it. Nobody can read the parts from it, but whoever can guess them can
 * make it too: it is no secret.
 * @throws OncemqError `ONCEMQ_KEY_INVALID` for no parts, one that is no string or empty, or what a program
 *   writes where it has no id (`undefined`, `null`, ...).
 * @example
 * const id = eventId('order', order.id, 'paid') // '6f9e2c1a-....-8...-....-............'
 */
export function eventId(...parts: readonly [string, ...string[]]): string {
  requireKey(parts, 'reject')
  return uuidOf('event', parts)
}

/**
 * The id of a message that a handler sends, made of the record's id and what names it among those that the
 * handler sends.
 * @throws OncemqError `ONCEMQ_KEY_MISSING` for a delivery that has no key, `ONCEMQ_KEY_INVALID` for a name
 *   that is no string or empty.
 */
export function childIdOf(id: string | undefined, name: string): string {
  requireKey(name, 'accept')
  if (id !== undefined) return uuidOf('child', [id, name])
  throw new OncemqError(
    'ONCEMQ_KEY_MISSING',
    'childId: expected a message with a key, received one without, from which nothing can be derived; ' +
      "stamp an id at the producer, or set onMissingKey to 'hash' or 'reject'",
  )
}

function uuidOf(kind: 'event' | 'child', parts: readonly string[]): string {
  const text = `${kind}/${parts.map((part) => `${part.length}:${part}`).join('')}`
  // A string with lone surrogates has no UTF-8 form of its own: two of them would become one.
  const bytes = text.isWellFormed() ? text : Buffer.from(`utf16:${text}`, 'utf16le')
  const hex = hash('sha256', bytes, 'hex').slice(0, HEX_DIGITS)
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 0x3) | 0x8).toString(16)
  const versioned = `${hex.slice(0, 12)}8${hex.slice(13, 16)}${variant}${hex.slice(17)}`
  return versioned.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
