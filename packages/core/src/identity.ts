import { hash } from 'node:crypto'

import { OncemqError, received } from './errors.ts'
import type { EventHub } from './events.ts'
import type { Settings } from './options.ts'
import type { ClaimOutcome, Delivery } from './outcome.ts'

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
 * The id of a record: the first 128 bits of SHA-256 over the length-prefixed consumer group and the key. The prefix
 * keeps ('a', 'bc') and ('ab', 'c') apart. No folding of case, spaces or Unicode. A string with lone surrogates has no
 * UTF-8 form of its own, so such a pair is hashed as UTF-16 under another prefix.
 */
export function recordId(group: string, key: string): string {
  const parts = `${group.length}:${group}${key}`
  const bytes = parts.isWellFormed() ? parts : Buffer.from(`utf16:${parts}`, 'utf16le')
  return hash('sha256', bytes, 'hex').slice(0, ID_DIGITS)
}

/** 128 bits of SHA-256 over a payload. */
export function payloadHash(body: Uint8Array): string {
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
    `key: expected a non-empty string, received ${what}; give each business event an id of its own, as a string`,
  )
}

type KeySettings = Pick<
  Settings<unknown>,
  'consumerGroup' | 'missingKey' | 'fingerprint' | 'storeReadableKey' | 'random'
>

/** Reads a delivery once. Answers its identity, or what happens to it when it has no key that can be used. */
export function identify(delivery: Delivery, settings: KeySettings, events: EventHub): Identity | ClaimOutcome {
  const { key, body } = delivery
  if (key === undefined || key === null) return withoutKey(body, settings, events)
  try {
    requireKey(key)
  } catch (error) {
    return rejected('invalid-key', error as OncemqError, events)
  }
  return identityOf(key, body, settings)
}

/** An identity that no other delivery has: the transaction that a handler expects hangs on a claim. */
export function unkeyed(settings: KeySettings): Identity {
  return identityOf(`unkeyed:${settings.random.claimId()}`, undefined, settings)
}

function identityOf(key: string, body: Uint8Array | undefined, settings: KeySettings): Identity {
  const { consumerGroup, fingerprint, storeReadableKey } = settings
  return {
    key,
    id: recordId(consumerGroup, key),
    label: storeReadableKey ? readableLabel(consumerGroup, key) : undefined,
    fingerprint: fingerprint && body !== undefined ? payloadHash(body) : undefined,
  }
}

function withoutKey(body: Uint8Array | undefined, settings: KeySettings, events: EventHub): Identity | ClaimOutcome {
  if (settings.missingKey === 'hash' && body !== undefined) {
    return identityOf(`sha256:${payloadHash(body)}`, body, settings)
  }
  if (settings.missingKey === 'reject') return rejected('missing-key', keyMissing(), events)
  return { status: 'unprotected', reason: 'missing-key' }
}

function rejected(reason: 'missing-key' | 'invalid-key', error: OncemqError, events: EventHub): ClaimOutcome {
  events.emit('rejected', () => ({ key: undefined, reason }))
  return { status: 'rejected', reason, error }
}

function keyMissing(): OncemqError {
  return new OncemqError(
    'ONCEMQ_KEY_MISSING',
    "key: expected one, received a message without; stamp an id at the producer, or set missingKey to 'hash' or 'process'",
  )
}
