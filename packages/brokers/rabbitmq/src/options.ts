import type { Deduplicator } from '@oncemq/core'
import { givenOptions, OncemqError, OptionError, received, requireOneOf } from '@oncemq/core'
import type { AmqpConnection } from './amqp.ts'
import type { KeyOf } from './message.ts'
import { messageId } from './message.ts'
import type { WaitQueueType } from './retry.ts'

/** Options of both forms. */
export interface SharedOptions {
  /**
   * Reads a message's key: a preset such as `messageId()`, `header('x-id')` or `jsonField('order.id')`, or any function.
   * It is called once, when the message arrives. The property `messageId` by default.
   */
  key?: KeyOf
  /** The name of the queue in which messages are parked that are not to be processed. `<queue>.parked` by default. */
  parkingQueue?: (queue: string) => string
  /**
   * The type of the queues in which messages wait for a retry. `quorum` hands them back at least once; `classic` may
   * lose one if the broker is killed at the moment of handing it back.
   * @default 'quorum'
   */
  waitQueueType?: WaitQueueType
}

/** Options of {@link dedupChannel}. */
export interface DedupChannelOptions extends SharedOptions {
  /**
   * What happens to a message that is not to be processed (an invalid key, a conflict, attempts used up): `park` it, or
   * `nack` it without requeue, for queues that have a dead-letter exchange; without one that deletes the message.
   * @default 'park'
   */
  onReject?: 'park' | 'nack'
  /** The connection, for a second channel that sends copies. Needed only for channels that amqplib did not make. */
  connection?: AmqpConnection
}

/** The defaults of {@link DedupChannelOptions}. */
export const dedupChannelDefaults = Object.freeze({
  onReject: 'park' as 'park' | 'nack',
  waitQueueType: 'quorum' as WaitQueueType,
})

export interface SharedSettings {
  readonly key: KeyOf
  readonly parkingQueue: (queue: string) => string
  readonly waitQueueType: WaitQueueType
}

export interface DedupChannelSettings extends SharedSettings {
  readonly onReject: 'park' | 'nack'
  readonly connection: AmqpConnection | undefined
}

const sharedNames = ['key', 'parkingQueue', 'waitQueueType'] as const

/** @throws OptionError for an option that is wrong. */
export function dedupChannelSettings(options: DedupChannelOptions): DedupChannelSettings {
  const known = new Set([...sharedNames, 'onReject', 'connection'])
  const given = givenOptions('dedupChannel', options, known)
  const settings = { ...sharedDefaults(), ...dedupChannelDefaults, connection: undefined, ...given }
  requireShared(settings)
  requireOneOf('onReject', settings.onReject, ['park', 'nack'])
  return Object.freeze(settings)
}

/** Presets are made anew, so that no defaults object holds functions. */
export function sharedDefaults(): Omit<SharedSettings, 'waitQueueType'> {
  return { key: messageId(), parkingQueue: (queue) => `${queue}.parked` }
}

export function requireShared({ key, parkingQueue, waitQueueType }: SharedSettings): void {
  requireFunction('key', key, 'a preset such as messageId(), or a function of the message')
  requireFunction('parkingQueue', parkingQueue, 'a function of the queue name')
  requireOneOf('waitQueueType', waitQueueType, ['quorum', 'classic'])
}

export function requireFunction(name: string, value: unknown, remedy: string): void {
  if (typeof value === 'function') return
  throw new OptionError(`${name}: expected a function, received ${received(value)}; pass ${remedy}`)
}

export function requireDeduplicator(form: string, dedup: unknown): void {
  if (typeof (dedup as Partial<Deduplicator> | null | undefined)?.claim === 'function') return
  throw new OptionError(
    `${form}: expected a deduplicator, received ${received(dedup)}; ` +
      `make one with createDeduplicator({ store, consumerGroup })`,
  )
}

/** The broker forgets a message as soon as it is sent to such a consumer: a crash would lose it. */
export function refuseNoAck(form: string, options: { noAck?: boolean } | null | undefined): void {
  if (options?.noAck !== true) return
  throw new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    `${form}: expected a consumer that acks, received noAck: true; leave noAck out and ack each message`,
  )
}
