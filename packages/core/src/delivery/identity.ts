import { hash } from 'node:crypto'

import { OncemqError, received } from '../errors.ts'

const ID_DIGITS = 32
const LABEL_MAX = 256

/**
 * A message's key: the id of its business event, or the parts that are unique together. The parts are kept
 * apart whatever stands in them.
 */
export type Key = string | readonly string[]

/** Who a delivery is: its key, frozen when it arrived, and the id of its record. */
export interface Identity {
  /** The key as text, for handlers and events. `undefined` where the record goes by another id than a key. */
  readonly key: string | undefined
  readonly id: string
  readonly label: string | undefined
  readonly fingerprint: string | undefined
  /** Starts that its record knows nothing of, since each delivery has its own record. */
  readonly startsBefore?: number
}

/** Identities of different kinds never meet: who chooses a key cannot choose a hash or our own ids. */
export type IdentityKind = 'key' | 'hop' | 'hash' | 'unkeyed' | 'suspect' | 'internal' | 'log'

/**
 * The id of a record: the first 128 bits of SHA-256 over the kind, the consumer group, the source and the
 * parts of the key, each with its length before it, so that ('a', 'bc') and ('ab', 'c') are kept apart. No
 * folding of case, spaces or Unicode. A string with lone surrogates has no UTF-8 form, so such an
 * identity is hashed as UTF-16 under another prefix.
 */
export function recordId(
  group: string,
  key: Key,
  { source, kind = 'key' }: { source?: string | undefined; kind?: IdentityKind } = {},
): string {
  const scope = source === undefined ? '-' : sized(source)
  const parts = typeof key === 'string' ? sized(key) : key.map(sized).join('')
  const text = `${kind}/${sized(group)}${scope}${parts}`
  const bytes = text.isWellFormed() ? text : Buffer.from(`utf16:${text}`, 'utf16le')
  return hash('sha256', bytes, 'hex').slice(0, ID_DIGITS)
}

/** 128 bits of SHA-256 over a payload. @throws OncemqError `ONCEMQ_KEY_INVALID` unless it is bytes. */
export function payloadHash(body: Uint8Array): string {
  if (!(body instanceof Uint8Array)) {
    throw new OncemqError(
      'ONCEMQ_KEY_INVALID',
      `body: expected the payload as a Uint8Array, received ${received(body)}; pass the bytes that arrived`,
    )
  }
  return hash('sha256', body, 'hex').slice(0, ID_DIGITS)
}

/** A key as one text: a lone part as it is, several with the length before each but the last. */
export function keyText(key: Key): string {
  if (typeof key === 'string') return key
  return key.map((part, position) => (position === key.length - 1 ? part : sized(part))).join('')
}

/**
 * Group, source and key for people who look into the store: printable, well-formed, cut at 256 characters.
 * What a terminal or a log viewer would act on (control characters, line separators, changes of writing
 * direction) is replaced.
 */
export function readableLabel(group: string, source: string | undefined, key: string): string {
  const scope = source === undefined ? '' : `${source}/`
  return printable(`${group}/${scope}${key}`.slice(0, LABEL_MAX))
}

// eslint-disable-next-line no-control-regex -- These are what is looked for.
const ACTED_ON = /[\u0000-\u001F\u007F-\u009F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069]/g

/** A text without what a terminal or a log viewer would act on. */
export function printable(text: string): string {
  return text.replace(ACTED_ON, pictured).toWellFormed()
}

function pictured(character: string): string {
  const code = character.charCodeAt(0)
  if (code <= 0x1f) return String.fromCharCode(0x2400 + code)
  return code === 0x7f ? '\u2421' : '\uFFFD'
}

/**
 * What a program writes where it has no id. Each is one id for all events: the first would run, and every
 * other one would be acked as its duplicate.
 */
const PLACEHOLDER =
  /^(?:undefined|null|\(null\)|nan|none|nil|<nil>|\s+|\[object \w+\]|\{?0{8}-?(?:0{4}-?){3}0{12}\}?)$/i

/**
 * @throws OncemqError `ONCEMQ_KEY_INVALID` unless `key` is a non-empty string, or several, that was read
 *   without loss and, unless they are accepted, is no placeholder.
 */
export function requireKey(key: unknown, onPlaceholderKey: 'reject' | 'accept'): asserts key is Key {
  if (!Array.isArray(key)) return requirePart(key, onPlaceholderKey)
  if (key.length === 0) throw invalid('an empty array', GIVE_IDS)
  for (const part of key as readonly unknown[]) requirePart(part, onPlaceholderKey)
}

const GIVE_IDS = 'give each business event its own id, as a string'

function requirePart(part: unknown, onPlaceholderKey: 'reject' | 'accept'): void {
  if (typeof part !== 'string') throw invalid(received(part), GIVE_IDS)
  if (part === '') throw invalid('an empty string', GIVE_IDS)
  if (part.includes('\uFFFD')) {
    throw invalid('one with replacement characters, so that several ids may look like this one', IN_UTF8)
  }
  if (onPlaceholderKey === 'reject' && PLACEHOLDER.test(part)) {
    throw invalid('a placeholder, which the producer writes where it has no id', REAL_IDS)
  }
}

const IN_UTF8 = 'send ids in UTF-8'
const REAL_IDS = "correct the producer, or set onPlaceholderKey to 'accept'"

function invalid(what: string, remedy: string): OncemqError {
  return new OncemqError(
    'ONCEMQ_KEY_INVALID',
    `key: expected a non-empty string, received ${what}; ${remedy}`,
  )
}

function sized(part: string): string {
  return `${part.length}:${part}`
}
