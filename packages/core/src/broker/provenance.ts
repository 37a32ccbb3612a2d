import { createHmac, timingSafeEqual } from 'node:crypto'

/**
 * Where a copy of a message comes from. It travels with the copy as text with a signature, which only workers
 * of the same store can make (see `Deduplicator.secret`): a sender who writes such a text himself is not
 * believed.
 */
export interface Provenance {
  /**
   * `retry`: it waits to be handled again. `parked`: it was put aside. `hop`: the code that handled it has
   * sent it on, so that it is a message of its own.
   */
  readonly kind: 'retry' | 'parked' | 'hop'
  /** The queue or topic that the message was consumed from; for a hop, the one before. */
  readonly source: string
  /** How many starts its handler has had; none after it was put aside, so that a replay starts afresh. */
  readonly starts: number
  /** How many of them are returns of the broker's, which may have been none. 0 by default. */
  readonly returns?: number
  /** When it was received for the first time, in milliseconds since 1970. */
  readonly firstAtMs: number
  /** What of the message as it first came would act on a copy, or is lost on one, by the adapter's names. */
  readonly original: Readonly<Record<string, unknown>>
}

/** What a signature vouches for beside the provenance: that it belongs to this very message. */
export interface Sealed {
  readonly body: Uint8Array
  /** The message's own id, as the broker keeps it. */
  readonly id: string
}

/** The two texts that travel with a copy. */
export interface Seal {
  readonly provenance: string
  readonly signature: string
}

/** Makes the texts that go with a copy. */
export function seal(secret: Uint8Array, provenance: Provenance, sealed: Sealed): Seal {
  const text = JSON.stringify(provenance)
  return { provenance: text, signature: signatureOf(secret, text, sealed) }
}

/** Reads the texts that came with a message; `undefined` unless a worker of this store made them for it. */
export function unseal(secret: Uint8Array, texts: Seal, sealed: Sealed): Provenance | undefined {
  const expected = Buffer.from(signatureOf(secret, texts.provenance, sealed))
  const given = Buffer.from(texts.signature)
  if (given.byteLength !== expected.byteLength || !timingSafeEqual(given, expected)) return undefined
  return JSON.parse(texts.provenance, revived) as Provenance
}

function signatureOf(secret: Uint8Array, provenance: string, { body, id }: Sealed): string {
  const sized = `${Buffer.byteLength(provenance)}:${provenance}${Buffer.byteLength(id)}:${id}`
  return createHmac('sha256', secret).update(sized).update(body).digest('hex')
}

/** Bytes keep their kind. */
function revived(_: string, value: unknown): unknown {
  const { type, data } = (value ?? {}) as { type?: unknown; data?: unknown }
  return type === 'Buffer' && Array.isArray(data) ? Buffer.from(data as number[]) : value
}
