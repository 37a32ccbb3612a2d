import type { Backoff, Deduplicator } from '@oncemq/core'
import { givenOptions, received, requireInteger, requireOneOf, retryDefaults } from '@oncemq/core/broker'
import { OncemqError, OptionError } from '@oncemq/core'
import type { AmqpConnection } from './amqp.ts'
import type { KeyOf } from './message.ts'
import { messageId } from './message.ts'
import type { ConsumeOptions, DedupChannelOptions, DedupListenerOptions } from './options.ts'
import { consumeDefaults, dedupChannelDefaults } from './options.ts'
import type { WaitQueueType } from './retry.ts'
import { refuseStreamArguments } from './streams.ts'

/** Options of both forms, complete. */
export interface SharedSettings {
  readonly key: KeyOf
  readonly parkingQueue: (queue: string) => string
  readonly waitQueueType: WaitQueueType
}

export interface DedupChannelSettings extends SharedSettings {
  readonly onReject: 'park' | 'nack'
  readonly connection: AmqpConnection | undefined
}

type Given = 'connection' | 'connect' | 'channel' | 'onEnd'

export type ConsumeSettings<Tx> = SharedSettings &
  Readonly<Required<Omit<ConsumeOptions<Tx>, Given | 'retry' | keyof SharedSettings>>> &
  Pick<ConsumeOptions<Tx>, Given> & { readonly retry: Backoff }

const PREFETCH_MAX = 65_535
const WAIT_MAX_MS = 86_400_000
const FACTOR_MAX = 100
const sharedNames = ['key', 'parkingQueue', 'waitQueueType']
const consumeNames = 'queue dedup handler connection connect channel prefetch middlewares retry deadLetter'
  .concat(' replayResult consume onEnd')
  .split(' ')
  .concat(sharedNames)
const sources = ['connection', 'connect', 'channel'] as const

/** @throws OptionError for an option that is wrong. */
export function dedupChannelSettings(options: DedupChannelOptions): DedupChannelSettings {
  const given = givenOptions('dedupChannel', options, new Set([...sharedNames, 'onReject', 'connection']))
  const settings = { ...sharedDefaults(), ...dedupChannelDefaults, connection: undefined, ...given }
  requireShared(settings)
  requireOneOf('onReject', settings.onReject, ['park', 'nack'])
  return Object.freeze(settings)
}

/** @throws OptionError for an option that is wrong. */
export function consumeSettings<Tx>(options: ConsumeOptions<Tx>): ConsumeSettings<Tx> {
  const given = givenOptions('consume', options, new Set(consumeNames)) as ConsumeOptions<Tx>
  requireDeduplicator('consume', given.dedup)
  if (typeof given.queue !== 'string' || given.queue === '') {
    throw new OptionError(
      `queue: expected a queue's name, received ${received(given.queue)}; declare one and name it`,
    )
  }
  requireFunction('handler', given.handler, 'async (message, context) => { ... }')
  requireOneSource(given)
  const retry = { ...retryDefaults, ...given.retry }
  const settings = { ...sharedDefaults(), ...consumeDefaults, consume: {}, ...given, retry }
  requireShared(settings)
  requireInteger('prefetch', settings.prefetch, 1, PREFETCH_MAX)
  requireInteger('retry.firstMs', retry.firstMs, 1, WAIT_MAX_MS)
  requireInteger('retry.maxMs', retry.maxMs, 1, WAIT_MAX_MS)
  requireFactor(retry.factor)
  requireOneOf('deadLetter', settings.deadLetter, ['park', 'broker'])
  requireOneOf('replayResult', settings.replayResult, [true, false])
  if (!Array.isArray(settings.middlewares)) {
    throw new OptionError(
      `middlewares: expected an array, received ${received(settings.middlewares)}; give [] for none`,
    )
  }
  settings.middlewares.forEach((each, position) =>
    requireFunction(`middlewares[${position}]`, each, 'a middleware'),
  )
  if (settings.onEnd !== undefined) requireFunction('onEnd', settings.onEnd, 'a function of the error')
  refuseNoAck('consume', settings.consume)
  refuseStreamArguments(settings.consume)
  return Object.freeze(settings)
}

const REJECTED_AGAIN_MS = 60_000

/** @throws OptionError for an option that is wrong. */
export function dedupListenerSettings(listener: unknown, options: DedupListenerOptions) {
  requireFunction('dedupListener', listener, '(message, content, ackOrNack) => { ... }')
  const given = givenOptions('dedupListener', options, new Set(['key', 'onReject']))
  const onReject = { strategy: 'nack', defer: REJECTED_AGAIN_MS, requeue: true }
  const settings = { key: sharedDefaults().key, onReject, ...given }
  requireFunction('key', settings.key, 'a preset such as messageId(), or a function of the message')
  return Object.freeze(settings)
}

/** @throws OncemqError for a manager's channel, which changes its raw channel beneath the tags. */
export function refuseManagedChannel(channel: object): void {
  if (!('addSetup' in channel)) return
  throw new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    'dedupChannel: expected a channel of amqplib, received one of amqp-connection-manager, whose tags mean ' +
      'something else when it has reconnected; wrap the channel that its setup function is given',
  )
}

/** @throws OptionError unless it is a deduplicator. */
export function requireDeduplicator(form: string, dedup: unknown): asserts dedup is Deduplicator {
  if (typeof (dedup as Partial<Deduplicator> | null | undefined)?.claim === 'function') return
  throw new OptionError(
    `${form}: expected a deduplicator, received ${received(dedup)}; ` +
      `make one with createDeduplicator({ store, consumerGroup })`,
  )
}

/** The broker forgets a message as soon as it is sent to such a consumer: a crash would lose it. */
export function refuseNoAck(form: string, options: object | null | undefined): void {
  if ((options as { noAck?: unknown } | null | undefined)?.noAck !== true) return
  throw new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    `${form}: expected a consumer that acks, received noAck: true; leave noAck out and ack each message`,
  )
}

/** Presets are made anew, so that no defaults object holds functions. */
function sharedDefaults(): Omit<SharedSettings, 'waitQueueType'> {
  return { key: messageId(), parkingQueue: (queue) => `${queue}.parked` }
}

function requireShared({ key, parkingQueue, waitQueueType }: SharedSettings): void {
  requireFunction('key', key, 'a preset such as messageId(), or a function of the message')
  requireFunction('parkingQueue', parkingQueue, 'a function of the queue name')
  requireOneOf('waitQueueType', waitQueueType, ['quorum', 'classic'])
}

function requireOneSource(given: Pick<ConsumeOptions<never>, (typeof sources)[number]>): void {
  const named = sources.filter((source) => given[source] !== undefined)
  if (named.length === 1) return
  throw new OptionError(
    `consume: expected one of ${sources.join(', ')}, received ${named.join(' and ') || 'none'}; ` +
      `give the connection that you have, or a function that makes one`,
  )
}

function requireFactor(factor: unknown): void {
  if (typeof factor === 'number' && factor >= 1 && factor <= FACTOR_MAX) return
  throw new OptionError(
    `retry.factor: expected a number (1 to ${FACTOR_MAX}), received ${received(factor)}; give 2`,
  )
}

function requireFunction(name: string, value: unknown, remedy: string): void {
  if (typeof value === 'function') return
  throw new OptionError(`${name}: expected a function, received ${received(value)}; pass ${remedy}`)
}
