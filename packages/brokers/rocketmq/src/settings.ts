import type { Backoff } from '@oncemq/core'
import {
  givenOptions,
  received,
  requireDeduplicator,
  requireFunction,
  requireInteger,
  requireMethods,
  requireMiddlewares,
  requireRetry,
  retryOf,
} from '@oncemq/core/broker'
import { OptionError } from '@oncemq/core'
import type { ConsumeResults, RocketmqProducer } from './client.ts'
import type { KeyOf } from './message.ts'
import { messageKeys } from './message.ts'
import type { ConsumeOptions, DedupListenerOptions, DedupSimpleConsumerOptions } from './options.ts'
import { consumeDefaults, dedupListenerDefaults, dedupSimpleConsumerDefaults } from './options.ts'

/** Options of all forms, complete. */
export interface SharedSettings {
  readonly key: KeyOf
  readonly producer: RocketmqProducer | undefined
  readonly parkingTopic: (topic: string) => string
}

export interface DedupSimpleConsumerSettings extends SharedSettings {
  readonly holdMs: number
}

export interface DedupListenerSettings extends SharedSettings {
  readonly concurrency: number
  readonly retry: Backoff
  readonly results: ConsumeResults | undefined
}

export type ConsumeSettings<Tx> = SharedSettings &
  Readonly<Required<Omit<ConsumeOptions<Tx>, 'onEnd' | 'retry' | keyof SharedSettings>>> & {
    readonly retry: Backoff
    readonly onEnd: ConsumeOptions<Tx>['onEnd']
  }

const CONCURRENCY_MAX = 65_535
const WAIT_MAX_MS = 86_400_000
/** The server's own bounds. */
const INVISIBLE_MIN_MS = 10_000
const INVISIBLE_MAX_MS = 43_200_000
const sharedNames = ['key', 'producer', 'parkingTopic']
const listenerNames = ['concurrency', 'retry', 'results']
const consumeNames = [
  'consumer',
  'dedup',
  'handler',
  'concurrency',
  'invisibleMs',
  'middlewares',
  'retry',
  'onEnd',
]

/** @throws OptionError for an option that is wrong. */
export function dedupSimpleConsumerSettings(
  consumer: unknown,
  options: DedupSimpleConsumerOptions,
): DedupSimpleConsumerSettings {
  requireConsumer('dedupSimpleConsumer', consumer)
  const given = givenOptions('dedupSimpleConsumer', options, new Set([...sharedNames, 'holdMs']))
  const settings = { ...sharedDefaults(), ...dedupSimpleConsumerDefaults, ...given }
  requireShared(settings)
  requireInteger('holdMs', settings.holdMs, 0, WAIT_MAX_MS)
  return Object.freeze(settings)
}

/** @throws OptionError for an option that is wrong. */
export function dedupListenerSettings(
  listener: unknown,
  options: DedupListenerOptions,
): DedupListenerSettings {
  requireMethods('dedupListener', listener, ['consume'], 'pass { consume(message) { ... } }')
  const given = givenOptions('dedupListener', options, new Set([...sharedNames, ...listenerNames]))
  const retry = retryOf(given.retry)
  const settings = { ...sharedDefaults(), ...dedupListenerDefaults, results: undefined, ...given, retry }
  requireShared(settings)
  requireRetry(retry)
  requireInteger('concurrency', settings.concurrency, 1, CONCURRENCY_MAX)
  if (settings.results !== undefined) requireResults(settings.results)
  return Object.freeze(settings)
}

/** @throws OptionError for an option that is wrong. */
export function consumeSettings<Tx>(options: ConsumeOptions<Tx>): ConsumeSettings<Tx> {
  const names = new Set([...sharedNames, ...consumeNames])
  const given = givenOptions('consume', options, names) as ConsumeOptions<Tx>
  requireConsumer('consumer', given.consumer)
  requireDeduplicator('consume', given.dedup)
  requireFunction('handler', given.handler, 'async (message, context) => { ... }')
  const retry = retryOf(given.retry)
  const settings = { ...sharedDefaults(), ...consumeDefaults, onEnd: undefined, ...given, retry }
  requireShared(settings)
  requireRetry(retry)
  requireInteger('concurrency', settings.concurrency, 1, CONCURRENCY_MAX)
  requireInteger('invisibleMs', settings.invisibleMs, INVISIBLE_MIN_MS, INVISIBLE_MAX_MS)
  if (settings.onEnd !== undefined) requireFunction('onEnd', settings.onEnd, '(error) => { ... }')
  requireMiddlewares(settings.middlewares)
  return Object.freeze(settings)
}

/** Made anew, so that no defaults object holds functions. */
function sharedDefaults(): SharedSettings {
  return { key: messageKeys(), producer: undefined, parkingTopic: (topic) => `${topic}_parked` }
}

function requireShared({ key, producer, parkingTopic }: SharedSettings): void {
  requireFunction('key', key, 'a preset such as messageKeys(), or a function of the message')
  requireFunction('parkingTopic', parkingTopic, 'a function of the topic')
  if (producer !== undefined) requireMethods('producer', producer, ['send'], 'pass a started Producer')
}

function requireConsumer(name: string, consumer: unknown): void {
  const methods = ['receive', 'ack', 'changeInvisibleDuration', 'startup', 'shutdown']
  requireMethods(name, consumer, methods, 'pass a SimpleConsumer of rocketmq-client-nodejs')
}

function requireResults(results: Partial<ConsumeResults> | null): void {
  if (results?.SUCCESS !== undefined && results.FAILURE !== undefined) return
  throw new OptionError(
    `results: expected ConsumeResult of rocketmq-client-nodejs, received ${received(results)}; ` +
      `leave it out, or pass ConsumeResult`,
  )
}
