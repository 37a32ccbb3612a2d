import { isOncemqError, OncemqError } from '../errors.ts'
import type { EventHub } from '../observe/events.ts'
import { payloadHash, readableLabel, recordId, requireKey } from './identity.ts'
import type { Identity } from './identity.ts'
import type { Settings } from '../options.ts'
import type { ClaimOutcome, Delivery } from './outcome.ts'

type KeySettings = Pick<
  Settings<unknown>,
  'consumerGroup' | 'onMissingKey' | 'fingerprint' | 'storeReadableKey' | 'random'
>

/** Reads a delivery once. Answers its identity, or what happens to it when it has no key that can be used. */
export function identify(
  delivery: Delivery,
  settings: KeySettings,
  events: EventHub,
): Identity | ClaimOutcome {
  const { key, body } = delivery
  try {
    if (key === undefined || key === null) return withoutKey(body, settings, events)
    requireKey(key)
    return identityOf(key, body, settings)
  } catch (error) {
    if (!isOncemqError(error)) throw error
    return rejected('invalid-key', error, events)
  }
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

function withoutKey(
  body: Uint8Array | undefined,
  settings: KeySettings,
  events: EventHub,
): Identity | ClaimOutcome {
  if (settings.onMissingKey === 'hash' && body !== undefined) {
    return identityOf(`sha256:${payloadHash(body)}`, body, settings)
  }
  if (settings.onMissingKey === 'reject') return rejected('missing-key', keyMissing(), events)
  return { status: 'unprotected', reason: 'missing-key' }
}

function rejected(reason: 'missing-key' | 'invalid-key', error: OncemqError, events: EventHub): ClaimOutcome {
  events.emit('rejected', () => ({ key: undefined, reason }))
  return { status: 'rejected', reason, error }
}

function keyMissing(): OncemqError {
  return new OncemqError(
    'ONCEMQ_KEY_MISSING',
    'key: expected one, received a message without; ' +
      "stamp an id at the producer, or set onMissingKey to 'hash' or 'process'",
  )
}
