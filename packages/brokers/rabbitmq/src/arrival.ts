import type { Clock, Provenance, Sealed } from '@oncemq/core/broker'
import { seal, unseal } from '@oncemq/core/broker'
import type { AmqpMessage, AmqpProperties } from './amqp.ts'
import { deathsOf, isDeathHeader } from './deaths.ts'
import { OWN_PREFIX } from './names.ts'

const PROVENANCE_HEADER = 'x-oncemq-provenance'
const SIGNATURE_HEADER = 'x-oncemq-signature'

/** How deep headers are copied, and can be written: nobody means to nest deeper. */
export const DEPTH_MAX = 16

/**
 * Counted by quorum queues. The first delivery has none of the queue's, but what a sender has written there.
 */
export const RETURNS_HEADER = 'x-delivery-count'

/** A message as it arrived: what is given to handlers may be changed by them, this is not. */
export interface Arrival {
  /** What handlers, middlewares and key functions are given: the message as it first came. */
  readonly given: AmqpMessage
  readonly content: Buffer
  readonly fields: AmqpMessage['fields']
  readonly properties: AmqpProperties
  /** How often the broker says that it was returned; `undefined` where it does not count. */
  readonly returns: number | undefined
  readonly redelivered: boolean
  readonly startsBefore: number
  /** How many of them are the broker's returns. */
  readonly returnsBefore: number
  readonly firstAtMs: number
  /** How often it was sent on by its handlers. */
  readonly hops: number
}

/** Whether a message says that it is a copy of ours, so that the secret is needed to find out. */
export function claimsProvenance({ properties }: AmqpMessage): boolean {
  return properties.headers?.[PROVENANCE_HEADER] !== undefined
}

export interface ReadSettings {
  readonly queue: string
  readonly clock: Clock
  /** `undefined` for a message that claims no provenance. */
  readonly secret: Uint8Array | undefined
}

/** Takes a snapshot of a message, and gives a copy of ours back as the message first came. */
export function readArrival(message: AmqpMessage, { queue, clock, secret }: ReadSettings): Arrival {
  const provenance = secret === undefined ? undefined : provenanceOf(message, secret)
  const isOurs = provenance !== undefined && provenance.kind !== 'hop' && provenance.source === queue
  const snapshot = isOurs
    ? restored(message, provenance)
    : unbelieved(message, provenance?.kind === 'parked' || provenance?.kind === 'retry')
  const { redelivered } = message.fields
  const returns = redelivered ? returnsOf(message) : undefined
  const returned = redelivered ? Math.max(1, returns ?? 1) : 0
  return {
    given: snapshot === message ? message : given(snapshot),
    content: Buffer.from(message.content),
    fields: { ...snapshot.fields },
    properties: copied(snapshot.properties),
    returns,
    redelivered,
    startsBefore: returned + (isOurs ? provenance.starts : 0),
    returnsBefore: returned + (isOurs ? (provenance.returns ?? 0) : 0),
    firstAtMs: isOurs ? provenance.firstAtMs : clock.nowMs(),
    hops: isOurs || provenance?.kind === 'hop' ? hopsOf(provenance) : 0,
  }
}

/** As the broker would deliver it again: whatever was done to the one that was given before. */
export function renewed({ content, fields, properties }: Arrival): AmqpMessage {
  return {
    content: Buffer.from(content),
    fields: { ...fields, redelivered: true },
    properties: copied(properties),
  }
}

/** Only of a message that is delivered again: on a first delivery it is a sender's word. */
function returnsOf({ properties }: AmqpMessage): number | undefined {
  const counted = properties.headers?.[RETURNS_HEADER]
  return typeof counted === 'number' && counted >= 0 ? counted : undefined
}

/** The id that a signature vouches for. */
export function signedId({ messageId }: AmqpProperties): string {
  return typeof messageId === 'string' ? messageId : ''
}

function provenanceOf({ content, properties }: AmqpMessage, secret: Uint8Array): Provenance | undefined {
  const provenance = properties.headers?.[PROVENANCE_HEADER]
  const signature = properties.headers?.[SIGNATURE_HEADER]
  if (typeof provenance !== 'string' || typeof signature !== 'string') return undefined
  return unseal(secret, { provenance, signature }, { body: content, id: signedId(properties) })
}

/** What acted on the copy, or was lost on it. */
interface Original {
  readonly exchange?: string
  readonly routingKey?: string
  readonly properties?: AmqpProperties
  readonly headers?: Readonly<Record<string, unknown>>
  /** How often the message had been sent on by its handlers. */
  readonly hops?: number
}

/** A copy of a message that was started before is delivered again, whatever the broker says of the copy. */
function restored(
  { content, fields, properties }: AmqpMessage,
  { original, source, starts }: Provenance,
): AmqpMessage {
  const { exchange, routingKey, properties: set = {}, headers: aside = {} } = original as Original
  const { headers = {} } = properties
  return {
    content,
    fields: {
      ...fields,
      redelivered: fields.redelivered || starts > 0,
      exchange: exchange ?? fields.exchange,
      routingKey: routingKey ?? fields.routingKey,
    },
    properties: {
      ...properties,
      deliveryMode: undefined,
      ...set,
      headers: { ...withoutOurs(headers), ...deathsOf(source, headers, aside) },
    },
  }
}

/**
 * Headers of ours on a message that is no copy of this queue's: from a parking queue that is consumed they
 * are worth reading, from anybody else they are not ours.
 */
function unbelieved(message: AmqpMessage, isParked: boolean): AmqpMessage {
  const { headers } = message.properties
  if (isParked || headers === undefined || !hasOurs(headers)) return message
  const others = Object.entries(headers).filter(([name]) => !name.startsWith(OWN_PREFIX))
  return { ...message, properties: { ...message.properties, headers: Object.fromEntries(others) } }
}

function hasOurs(headers: Readonly<Record<string, unknown>>): boolean {
  for (const name in headers) if (name.startsWith(OWN_PREFIX)) return true
  return false
}

function withoutOurs(headers: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !name.startsWith(OWN_PREFIX) && !isDeathHeader(name)),
  )
}

function hopsOf({ original }: Provenance): number {
  return (original as Original).hops ?? 0
}

/** The headers that say whose copy, or which hop, a message is. */
export function sealedHeaders(
  secret: Uint8Array,
  provenance: Provenance,
  sealed: Sealed,
): Readonly<Record<string, unknown>> {
  const { provenance: text, signature } = seal(secret, provenance, sealed)
  return { [PROVENANCE_HEADER]: text, [SIGNATURE_HEADER]: signature }
}

/** Users may write to what they are given. */
function given({ content, fields, properties }: AmqpMessage): AmqpMessage {
  return { content, fields: { ...fields }, properties: { ...properties } }
}

function copied(properties: AmqpProperties): AmqpProperties {
  const { headers } = properties
  return headers === undefined ? { ...properties } : { ...properties, headers: copiedTable(headers) }
}

function copiedTable(table: Readonly<Record<string, unknown>>, depth = 0): Record<string, unknown> {
  return Object.fromEntries(Object.entries(table).map(([name, value]) => [name, copiedValue(value, depth)]))
}

/** Deeper than `DEPTH_MAX` nothing is copied: a sender may nest as deep as a frame has room. */
function copiedValue(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null || depth > DEPTH_MAX) return value
  if (Buffer.isBuffer(value)) return Buffer.from(value)
  if (Array.isArray(value)) return value.map((each) => copiedValue(each, depth + 1))
  return copiedTable(value as Record<string, unknown>, depth + 1)
}
