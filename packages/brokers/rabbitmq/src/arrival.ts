import type { Clock, Provenance } from '@oncemq/core/broker'
import { unseal } from '@oncemq/core/broker'
import type { AmqpMessage, AmqpProperties } from './amqp.ts'

/** The names of all headers of ours begin so. Whoever else sends one is not believed. */
export const OWN_PREFIX = 'x-oncemq-'
export const PROVENANCE_HEADER = 'x-oncemq-provenance'
export const SIGNATURE_HEADER = 'x-oncemq-signature'
/** Counts how often a message was sent on by the code that handled it: each hop is a message of its own. */
export const HOP_HEADER = 'x-oncemq-hop'

/** Counted by quorum queues; the first delivery has none. */
const RETURNS_HEADER = 'x-delivery-count'

/** A message as it arrived: what is given to handlers may be changed by them, this is not. */
export interface Arrival {
  /** What handlers, middlewares and key functions are given: the message as it first came. */
  readonly given: AmqpMessage
  readonly content: Buffer
  readonly exchange: string
  readonly routingKey: string
  readonly properties: AmqpProperties
  /** How often the broker says that it was returned; `undefined` where it does not count. */
  readonly returns: number | undefined
  readonly redelivered: boolean
  readonly startsBefore: number
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
  const isOurs = provenance?.source === queue
  const snapshot = isOurs ? restored(message, provenance) : unbelieved(message, provenance !== undefined)
  const counted = message.properties.headers?.[RETURNS_HEADER]
  const returns = typeof counted === 'number' ? counted : undefined
  const { redelivered } = message.fields
  const crashed = returns ?? (redelivered ? 1 : 0)
  return {
    given: snapshot === message ? message : given(snapshot),
    content: Buffer.from(message.content),
    exchange: snapshot.fields.exchange,
    routingKey: snapshot.fields.routingKey,
    properties: copied(snapshot.properties),
    returns,
    redelivered,
    startsBefore: crashed + (isOurs ? provenance.starts : 0),
    firstAtMs: isOurs ? provenance.firstAtMs : clock.nowMs(),
    hops: hopsOf(message),
  }
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
}

function restored({ content, fields, properties }: AmqpMessage, { original }: Provenance): AmqpMessage {
  const { exchange, routingKey, properties: set = {}, headers } = original as Original
  return {
    content,
    fields: { ...fields, exchange: exchange ?? fields.exchange, routingKey: routingKey ?? fields.routingKey },
    properties: { ...properties, ...set, headers: { ...withoutOurs(properties.headers), ...headers } },
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

/** What the way through a wait queue has left on a message goes too. */
function withoutOurs(headers: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !name.startsWith(OWN_PREFIX) && !isDeathHeader(name)),
  )
}

/** The broker's own history of dead-lettering: on a copy it would make the broker see a cycle. */
export function isDeathHeader(name: string): boolean {
  return name === 'x-death' || name.startsWith('x-first-death-') || name.startsWith('x-last-death-')
}

function hopsOf({ properties }: AmqpMessage): number {
  const hops = properties.headers?.[HOP_HEADER]
  return typeof hops === 'number' && Number.isSafeInteger(hops) && hops > 0 ? hops : 0
}

/** Users may write to what they are given. */
function given({ content, fields, properties }: AmqpMessage): AmqpMessage {
  return { content, fields: { ...fields }, properties: { ...properties } }
}

function copied(properties: AmqpProperties): AmqpProperties {
  const { headers } = properties
  return headers === undefined ? { ...properties } : { ...properties, headers: copiedTable(headers) }
}

function copiedTable(table: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(table).map(([name, value]) => [name, copiedValue(value)]))
}

function copiedValue(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Buffer.isBuffer(value)) return Buffer.from(value)
  if (Array.isArray(value)) return value.map(copiedValue)
  return copiedTable(value as Record<string, unknown>)
}
