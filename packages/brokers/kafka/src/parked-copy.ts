import type { Deduplicator } from '@oncemq/core'
import type { DeadLetter, Provenance } from '@oncemq/core/broker'
import { copySecret, letterTexts, seal, unseal } from '@oncemq/core/broker'
import type { HeaderValue, KafkaMessage, OutgoingMessage } from './client.ts'

/** The headers that stand on a dead letter beside those of its sender. */
export const parkedHeaders = Object.freeze({
  /** Why it is parked. */
  reason: 'oncemq-reason',
  errorName: 'oncemq-error',
  errorMessage: 'oncemq-error-message',
  attempts: 'oncemq-attempts',
  /** When it was received for the first and for the last time, in ISO 8601. */
  firstAt: 'oncemq-first-at',
  lastAt: 'oncemq-last-at',
  /** Where it was consumed from. */
  topic: 'oncemq-topic',
  partition: 'oncemq-partition',
  offset: 'oncemq-offset',
  provenance: 'oncemq-provenance',
  signature: 'oncemq-signature',
})

const OWN: ReadonlySet<string> = new Set(Object.values(parkedHeaders))

/** A record as it first came, and when. */
export interface Arrival {
  readonly message: KafkaMessage
  readonly firstAtMs: number
}

/** The record to be parked. What the sender has set stays. */
export function parkedCopy({ message, firstAtMs }: Arrival, letter: DeadLetter, secret: Uint8Array) {
  const { key, value, headers, topic, partition, offset, timestamp } = message
  const original = { partition, offset, timestamp }
  const provenance: Provenance = { kind: 'parked', source: topic, starts: 0, firstAtMs, original }
  const sealed = seal(secret, provenance, { body: value ?? Buffer.alloc(0), id: idOf(message) })
  const own = Object.entries({ ...describe(message, letter), ...sealed })
    .filter(([, text]) => text !== '')
    .map(([name, text]) => [parkedHeaders[name as keyof typeof parkedHeaders], text])
  const copy: OutgoingMessage = {
    key,
    value,
    headers: { ...headers, ...(Object.fromEntries(own) as Record<string, string>) },
  }
  return copy
}

function describe({ topic, partition, offset }: KafkaMessage, letter: DeadLetter) {
  return { ...letterTexts(letter), topic, partition: `${partition}`, offset }
}

/** Whether something of ours stands on a record, which has to be read before the record is handled. */
export function isCopy({ headers }: KafkaMessage): boolean {
  return Object.keys(headers).some((name) => OWN.has(name))
}

/**
 * Reads what a record says of where it comes from. A dead letter that was sent to its topic again is the
 * record that it was: by its position it may be known. What a sender wrote in our name is taken off.
 */
export async function arrivalOf(
  message: KafkaMessage,
  dedup: Deduplicator<never>,
  signal: AbortSignal,
): Promise<Arrival> {
  const firstAtMs = dedup.settings.clock.nowMs()
  if (!isCopy(message)) return { message, firstAtMs }
  const provenance = await provenanceOf(message, dedup, signal)
  // Whoever consumes from the topic of dead letters shall read why the record is there.
  if (provenance !== undefined && provenance.source !== message.topic) return { message, firstAtMs }
  const theirs = Object.entries(message.headers).filter(([name]) => !OWN.has(name))
  const headers = Object.fromEntries(theirs) as KafkaMessage['headers']
  if (provenance === undefined) return { message: { ...message, headers }, firstAtMs }
  const original = provenance.original as Pick<KafkaMessage, 'partition' | 'offset' | 'timestamp'>
  return { message: { ...message, ...original, headers }, firstAtMs: provenance.firstAtMs }
}

async function provenanceOf(
  message: KafkaMessage,
  dedup: Deduplicator<never>,
  signal: AbortSignal,
): Promise<Provenance | undefined> {
  const { headers, value } = message
  const provenance = textOf(headers[parkedHeaders.provenance])
  const signature = textOf(headers[parkedHeaders.signature])
  if (provenance === undefined || signature === undefined) return undefined
  const secret = await copySecret(dedup, signal)
  const sealed = { body: value ?? Buffer.alloc(0), id: idOf(message) }
  return secret && unseal(secret, { provenance, signature }, sealed)
}

function textOf(value: HeaderValue): string | undefined {
  if (Buffer.isBuffer(value)) return value.toString()
  return typeof value === 'string' ? value : undefined
}

/** What of a record's own stays when it is sent again: its position does not. */
function idOf({ key }: KafkaMessage): string {
  return key === null ? 'none' : `key ${key.toString('base64')}`
}
