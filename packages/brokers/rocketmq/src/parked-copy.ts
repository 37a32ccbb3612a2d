import type { Deduplicator } from '@oncemq/core'
import type { DeadLetter, Provenance } from '@oncemq/core/broker'
import { copySecret, letterTexts, seal, unseal } from '@oncemq/core/broker'
import type { RocketmqMessage } from './client.ts'

/** What stands on a parked message beside the properties of its sender. */
export const parkedProperties = Object.freeze({
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
  messageId: 'oncemq-message-id',
  messageGroup: 'oncemq-message-group',
  provenance: 'oncemq-provenance',
  signature: 'oncemq-signature',
})

const OWN: ReadonlySet<string> = new Set(Object.values(parkedProperties))

/** A message as it first came, and when. */
export interface Arrival {
  readonly message: RocketmqMessage
  readonly firstAtMs: number
}

/** The message to be parked in `topic`. What the sender has set stays, but for what acts on a send. */
export function parkedCopy(
  { message, firstAtMs }: Arrival,
  topic: string,
  letter: DeadLetter,
  secret: Uint8Array,
) {
  const { body, tag } = message
  const provenance: Provenance = {
    kind: 'parked',
    source: message.topic,
    starts: 0,
    firstAtMs,
    original: originalOf(message),
  }
  const sealed = seal(secret, provenance, { body, id: idOf(message) })
  const properties = new Map([...message.properties].filter(([name]) => !isBrokers(name)))
  for (const [name, value] of Object.entries({ ...describe(message, letter), ...sealed })) {
    if (value !== '') properties.set(parkedProperties[name as keyof typeof parkedProperties], value)
  }
  const keys = [...message.keys]
  return { topic, body, keys, properties, ...(tag === undefined || tag === '' ? {} : { tag }) }
}

function describe({ topic, messageId, messageGroup = '' }: RocketmqMessage, letter: DeadLetter) {
  return { ...letterTexts(letter), topic, messageId, messageGroup }
}

/**
 * Reads what a message says of where it comes from. A parked message that was sent to its topic again is the
 * one that it was: by its `messageId` it may be known. What a sender wrote in our name is taken off.
 */
export async function arrivalOf(
  message: RocketmqMessage,
  dedup: Deduplicator<never>,
  signal?: AbortSignal,
): Promise<Arrival> {
  const firstAtMs = dedup.settings.clock.nowMs()
  if (![...message.properties.keys()].some((name) => OWN.has(name))) return { message, firstAtMs }
  const provenance = await provenanceOf(message, dedup, signal)
  // Whoever consumes from the parking topic shall read why the message is there.
  if (provenance !== undefined && provenance.source !== message.topic) return { message, firstAtMs }
  const properties = new Map([...message.properties].filter(([name]) => !OWN.has(name)))
  if (provenance === undefined) return { message: copyOf(message, { properties }), firstAtMs }
  return {
    message: copyOf(message, asReceived(provenance.original, properties)),
    firstAtMs: provenance.firstAtMs,
  }
}

/** A copy that shares nothing which can be changed. It keeps the methods of the client's own class. */
export function copyOf(message: RocketmqMessage, changes: Partial<RocketmqMessage> = {}): RocketmqMessage {
  const copy = Object.create(Object.getPrototypeOf(message) as object) as RocketmqMessage
  return Object.assign(
    copy,
    message,
    { body: Buffer.from(message.body), keys: [...message.keys], properties: new Map(message.properties) },
    changes,
  )
}

async function provenanceOf(
  message: RocketmqMessage,
  dedup: Deduplicator<never>,
  signal: AbortSignal | undefined,
): Promise<Provenance | undefined> {
  const { properties, body } = message
  const provenance = properties.get(parkedProperties.provenance)
  const signature = properties.get(parkedProperties.signature)
  if (provenance === undefined || signature === undefined) return undefined
  const secret = await copySecret(dedup, signal)
  return secret && unseal(secret, { provenance, signature }, { body, id: idOf(message) })
}

/**
 * Whether a property is the broker's own. Some arrive among those of the sender, and act when they are sent:
 * with `__SHARDINGKEY` a message is FIFO, and a topic of another type refuses it.
 */
function isBrokers(name: string): boolean {
  return name.startsWith('__')
}

/** What is lost when a message is sent again. */
function originalOf({
  messageId,
  messageGroup,
  bornTimestamp,
  deliveryTimestamp,
  properties,
}: RocketmqMessage) {
  const timeOf = (date: Date | undefined): number | undefined => date?.getTime()
  return {
    messageId,
    messageGroup,
    bornAtMs: timeOf(bornTimestamp),
    deliveryAtMs: timeOf(deliveryTimestamp),
    brokers: Object.fromEntries([...properties].filter(([name]) => isBrokers(name))),
  }
}

function asReceived(
  original: Provenance['original'],
  properties: ReadonlyMap<string, string>,
): Partial<RocketmqMessage> {
  const { messageId, messageGroup, bornAtMs, deliveryAtMs, brokers } = original as ReturnType<
    typeof originalOf
  >
  const dateOf = (atMs: number | undefined): Date | undefined =>
    atMs === undefined ? undefined : new Date(atMs)
  return {
    messageId,
    messageGroup,
    bornTimestamp: dateOf(bornAtMs),
    deliveryTimestamp: dateOf(deliveryAtMs),
    properties: new Map([...properties, ...Object.entries(brokers)]),
  }
}

/** What of a message's own stays when it is sent again: its `messageId` does not. */
function idOf({ keys }: RocketmqMessage): string {
  return keys.join(' ')
}
