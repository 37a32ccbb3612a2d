import type { Backoff, Deduplicator } from '@oncemq/core'
import {
  givenOptions,
  received,
  refuseTransactional,
  requireDeduplicator,
  requireFunction,
  requireInteger,
  requireMethods,
  requireMiddlewares,
  requireOneOf,
  requireRetry,
  retryOf,
} from '@oncemq/core/broker'
import { OncemqError, OptionError } from '@oncemq/core'
import type { AmqpConnection } from './amqp.ts'
import { messageId } from './message.ts'
import type { ConsumeOptions, DedupChannelOptions, DedupListenerOptions, SharedOptions } from './options.ts'
import { consumeDefaults, dedupChannelDefaults } from './options.ts'
import { requireChannel, requireConnection } from './given-client.ts'
import { declarable } from './names.ts'
import { refuseStreamArguments, requireRowOffset } from './queue-kind.ts'
import type { Recovery } from './rascal.ts'

/** Options of both forms, complete. */
export type SharedSettings = Readonly<Required<Omit<SharedOptions, 'retry'>>> & { readonly retry: Backoff }

export interface DedupChannelSettings extends SharedSettings {
  readonly onNoAck: 'refuse' | 'pass'
  readonly connection: AmqpConnection | undefined
}

type Given = 'connection' | 'connect' | 'channel' | 'errorReply' | 'onEnd' | 'payload'

export type ConsumeSettings<Tx> = SharedSettings &
  Readonly<Required<Omit<ConsumeOptions<Tx>, Given | 'retry' | keyof SharedSettings>>> &
  Pick<ConsumeOptions<Tx>, Given> & { readonly retry: Backoff }

const PREFETCH_MAX = 65_535
const WAIT_MAX_MS = 86_400_000
const PARKED_MAX = 1_000_000_000
const ACK_TIMEOUT_MIN_MS = 1000
const sharedNames =
  'key parkingQueue parkingArguments parkedMax waitQueueType onDeadLetter retry ackTimeoutMs'.split(' ')
const consumeNames = 'queue dedup handler connection connect channel prefetch middlewares replayResult'
  .concat(' consume errorReply onEnd payload fromBeginning')
  .split(' ')
  .concat(sharedNames)
/** Where the handler returns instead of acking. */
export const USE_CONSUME = 'use consume({ ... }), whose handler returns'
const sources = ['connection', 'connect', 'channel'] as const

/** @throws OptionError for an option that is wrong. */
export function dedupChannelSettings(options: DedupChannelOptions): DedupChannelSettings {
  const given = givenOptions('dedupChannel', options, new Set([...sharedNames, 'onNoAck', 'connection']))
  const retry = retryOf(given.retry)
  const settings = { ...sharedDefaults(), ...dedupChannelDefaults, connection: undefined, ...given, retry }
  requireShared(settings)
  requireOneOf('onNoAck', settings.onNoAck, ['refuse', 'pass'])
  if (settings.connection !== undefined) requireConnection('dedupChannel', settings.connection)
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
  const retry = retryOf(given.retry)
  const settings = { ...sharedDefaults(), ...consumeDefaults, consume: {}, ...given, retry }
  requireShared(settings)
  requireInteger('prefetch', settings.prefetch, 1, PREFETCH_MAX)
  requireOneOf('replayResult', settings.replayResult, [true, false])
  requireMiddlewares(settings.middlewares)
  if (settings.payload !== undefined)
    requireFunction('payload', settings.payload, 'a function of the message')
  if (settings.errorReply !== undefined)
    requireFunction('errorReply', settings.errorReply, 'a function of the message and the error')
  if (settings.onEnd !== undefined) requireFunction('onEnd', settings.onEnd, 'a function of the error')
  requireMethods('consume', settings.consume, [], 'give arguments of basic.consume, such as { priority: 1 }')
  refuseNoAck('consume', settings.consume)
  requireOneOf('fromBeginning', settings.fromBeginning, [true, false])
  if (followsLog(settings)) requireStream(settings)
  else refuseStreamArguments(settings.consume)
  return Object.freeze(settings)
}

/** How much of the time that the broker allows a message may stay unacked here. */
const HOLD_PART = 0.5

/** For how long a message may stay unacked here. */
export function holdMsOf({ ackTimeoutMs }: Pick<SharedSettings, 'ackTimeoutMs'>): number {
  return Math.ceil(ackTimeoutMs * HOLD_PART)
}

/** Whether the messages of a stream are consumed, by a log in the store. */
export function followsLog<Tx>({ dedup }: Pick<ConsumeSettings<Tx>, 'dedup'>): boolean {
  return dedup.settings.strategy.followsLog === true
}

/** @throws OptionError for what does not go with a stream. */
function requireStream<Tx>(settings: ConsumeSettings<Tx>): void {
  const { consume, dedup, onDeadLetter } = settings
  const { name, needsStore } = dedup.settings.strategy
  requireRowOffset(consume)
  if (needsStore === false) {
    throw new OptionError(
      `strategy: expected one whose store keeps how far a stream is done, received '${name}'; ` +
        `use 'watermark'`,
    )
  }
  if (onDeadLetter !== 'broker') return
  throw new OptionError(
    `onDeadLetter: expected 'park' for a stream, received 'broker'; ` +
      `a stream dead-letters nothing, and goes on`,
  )
}

/** @throws OptionError for an option that is wrong. */
export function dedupListenerSettings(listener: unknown, dedup: Deduplicator, options: DedupListenerOptions) {
  requireFunction('dedupListener', listener, '(message, content, ackOrNack) => { ... }')
  refuseTransactional('dedupListener', dedup, USE_CONSUME)
  const given = givenOptions('dedupListener', options, new Set(['key', 'onDeadLetter']))
  const settings = { key: sharedDefaults().key, onDeadLetter: undefined, ...given }
  requireFunction('key', settings.key, 'a preset such as messageId(), or a function of the message')
  requireRecoveries(settings.onDeadLetter)
  return Object.freeze(settings)
}

function requireRecoveries(recoveries: DedupListenerOptions['onDeadLetter']): void {
  for (const each of [recoveries ?? []].flat() as unknown[]) {
    const strategy = (each as Partial<Recovery> | null)?.strategy
    if (typeof strategy === 'string') continue
    throw new OptionError(
      `onDeadLetter: expected a recovery of Rascal, received ${received(each)}; ` +
        `give one such as { strategy: 'forward', publication: 'dead_letters' }`,
    )
  }
}

/** The broker forgets a message as soon as it is sent to such a consumer: a crash would lose it. */
export function refuseNoAck(form: string, options: object | null | undefined): void {
  // As amqplib takes it: anything that is true.
  if (!(options as { noAck?: unknown } | null | undefined)?.noAck) return
  throw new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    `${form}: expected a consumer that acks, received noAck: true; leave noAck out and ack each message`,
  )
}

/** Where a reply to a request of one's own arrives: the broker allows it without acks alone. */
const REPLY_TO = 'amq.rabbitmq.reply-to'

/**
 * Whether a consumer is none of ours to deduplicate.
 * @throws OncemqError for one that does not ack, unless the options let it pass.
 */
export function passesThrough(
  queue: string,
  options: { noAck?: boolean } | null | undefined,
  { onNoAck }: DedupChannelSettings,
): boolean {
  if (queue === REPLY_TO) return true
  if (options?.noAck && onNoAck === 'pass') return true
  refuseNoAck('consume', options)
  return false
}

/** Presets are made anew, so that no defaults object holds functions. */
function sharedDefaults() {
  const parkingQueue = (queue: string): string => `${declarable(queue)}.parked`
  return { key: messageId(), parkingQueue, parkingArguments: {} }
}

function requireShared(settings: SharedSettings): void {
  const { key, parkingQueue, parkingArguments, parkedMax, waitQueueType, onDeadLetter, retry } = settings
  requireInteger('parkedMax', parkedMax, 1, PARKED_MAX)
  requireInteger('ackTimeoutMs', settings.ackTimeoutMs, ACK_TIMEOUT_MIN_MS, WAIT_MAX_MS)
  requireRetry(retry)
  requireOneOf('onDeadLetter', onDeadLetter, ['park', 'broker'])
  requireMethods('parkingArguments', parkingArguments, [], 'give the arguments of your queue')
  requireFunction('key', key, 'a preset such as messageId(), or a function of the message')
  requireFunction('parkingQueue', parkingQueue, 'a function of the queue name')
  requireOneOf('waitQueueType', waitQueueType, ['quorum', 'classic'])
}

function requireOneSource(given: Pick<ConsumeOptions<never>, (typeof sources)[number]>): void {
  const named = sources.filter((source) => given[source] !== undefined)
  if (named.length !== 1) {
    throw new OptionError(
      `consume: expected one of ${sources.join(', ')}, received ${named.join(' and ') || 'none'}; ` +
        `give the connection that you have, or a function that makes one`,
    )
  }
  const { connection, connect, channel } = given
  if (connection !== undefined) requireConnection('connection', connection)
  if (connect !== undefined) requireFunction('connect', connect, 'a function: () => amqp.connect(url)')
  if (channel !== undefined) requireChannel('channel', channel)
}
