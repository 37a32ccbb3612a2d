import { hash } from 'node:crypto'

import { OncemqError, received } from '../errors.ts'

const ID_DIGITS = 32
const LABEL_MAX = 256

/** Who a delivery is: its key, frozen when it arrived, and the id of its record. */
export interface Identity {
  readonly key: string
  readonly id: string
  readonly label: string | undefined
  readonly fingerprint: string | undefined
}

/**
 * The id of a record: the first 128 bits of SHA-256 over the length-prefixed consumer group and the key. The
 * prefix keeps ('a', 'bc') and ('ab', 'c') apart. No folding of case, spaces or Unicode. A string with lone
 * surrogates has no UTF-8 form of its own, so such a pair is hashed as UTF-16 under another prefix.
 */
export function recordId(group: string, key: string): string {
  const parts = `${group.length}:${group}${key}`
  const bytes = parts.isWellFormed() ? parts : Buffer.from(`utf16:${parts}`, 'utf16le')
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

/** Group and key for people who look into the store: without NUL, well-formed, cut at 256 characters. */
export function readableLabel(group: string, key: string): string {
  return `${group}/${key}`.slice(0, LABEL_MAX).replaceAll('\0', '\u2400').toWellFormed()
}

/** @throws OncemqError `ONCEMQ_KEY_INVALID` unless `key` is a non-empty string. */
export function requireKey(key: unknown): asserts key is string {
  if (typeof key === 'string' && key !== '') return
  const what = key === '' ? 'an empty string' : received(key)
  throw new OncemqError(
    'ONCEMQ_KEY_INVALID',
    `key: expected a non-empty string, received ${what}; ` +
      'give each business event an id of its own, as a string',
  )
}
