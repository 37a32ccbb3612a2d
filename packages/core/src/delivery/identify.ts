import { isOncemqError, OncemqError } from '../errors.ts'
import type { EventHub } from '../observe/event-hub.ts'
import type { Settings } from '../options.ts'
import type { Identity, IdentityKind, Key } from './identity.ts'
import { keyText, payloadHash, readableLabel, recordId, requireKey } from './identity.ts'
import type { Delivery, NotGranted, Unprotected } from './outcome.ts'

export type KeySettings = Pick<
  Settings<unknown>,
  | 'consumerGroup'
  | 'keyScope'
  | 'onMissingKey'
  | 'onPlaceholderKey'
  | 'fingerprint'
  | 'storeReadableKey'
  | 'random'
>

/** Reads a delivery once. Answers its identity, or what happens to it when it has no key that can be used. */
export function identify(
  delivery: Delivery,
  settings: KeySettings,
  events: EventHub,
): Identity | NotGranted | Unprotected {
  const { key } = delivery
  try {
    if (key === undefined || key === null) return withoutKey(delivery, settings, events)
    if (isOncemqError(key)) throw key
    requireKey(key, settings.onPlaceholderKey)
    const identity = identityOf(key, 'key', delivery, settings)
    const { hops = 0, source } = delivery
    return hops === 0 ? identity : { ...identity, id: hopId(key, hops, source, settings) }
  } catch (error) {
    if (!isOncemqError(error)) throw error
    return rejected('invalid-key', error, delivery, events)
  }
}

/** An identity that no other delivery has: the transaction that a handler expects hangs on a claim. */
export function unkeyed(settings: KeySettings, startsBefore: number): Identity {
  const identity = identityOf(settings.random.claimId(), 'unkeyed', {}, settings)
  return { ...identity, key: undefined, startsBefore }
}

/**
 * The identity of a message whose starts are to be counted, beyond those that the broker may count alone;
 * where nobody counts, beyond the first.
 */
export function suspected(
  settings: KeySettings & Pick<Settings<unknown>, 'attemptsMax'>,
  { source, body, whole, isUncounted }: Delivery,
): Identity | undefined {
  const bytes = whole?.() ?? body
  if (bytes === undefined) return undefined
  const startsBefore = isUncounted === true ? 1 : settings.attemptsMax
  const identity = identityOf(payloadHash(bytes), 'suspect', { source }, settings)
  return { ...identity, key: undefined, startsBefore }
}

function identityOf(
  key: Key,
  kind: IdentityKind,
  { source, body, fingerprint }: Partial<Delivery>,
  settings: KeySettings,
): Identity {
  const { consumerGroup, keyScope, storeReadableKey } = settings
  const scope = keyScope === 'source' ? source : undefined
  const text = keyText(key)
  const isHashed = (fingerprint ?? settings.fingerprint) && body !== undefined
  return {
    key: text,
    id: recordId(consumerGroup, key, { source: scope, kind }),
    label: storeReadableKey ? readableLabel(consumerGroup, scope, text) : undefined,
    fingerprint: isHashed ? payloadHash(body) : undefined,
  }
}

function hopId(key: Key, hops: number, source: string | undefined, settings: KeySettings): string {
  const { consumerGroup, keyScope } = settings
  const parts = [`${hops}`, ...(typeof key === 'string' ? [key] : key)]
  return recordId(consumerGroup, parts, { source: keyScope === 'source' ? source : undefined, kind: 'hop' })
}

function withoutKey(
  delivery: Delivery,
  settings: KeySettings,
  events: EventHub,
): Identity | NotGranted | Unprotected {
  const { body, startsBefore = 0 } = delivery
  if (settings.onMissingKey === 'hash' && body !== undefined) {
    return identityOf(payloadHash(body), 'hash', delivery, settings)
  }
  if (settings.onMissingKey === 'reject') return rejected('missing-key', keyMissing(), delivery, events)
  return { status: 'unprotected', reason: 'missing-key', attempt: startsBefore + 1 }
}

function rejected(
  reason: 'missing-key' | 'invalid-key',
  error: OncemqError,
  { startsBefore = 0 }: Delivery,
  events: EventHub,
): NotGranted {
  events.emit('rejected', () => ({ key: undefined, reason }))
  return { status: 'rejected', reason, error, attempt: startsBefore }
}

function keyMissing(): OncemqError {
  return new OncemqError(
    'ONCEMQ_KEY_MISSING',
    'key: expected one, received a message without; ' +
      "stamp an id at the producer, or set onMissingKey to 'hash' or 'process'",
  )
}
