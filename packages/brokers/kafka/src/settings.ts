import type { Backoff } from '@oncemq/core'
import { OptionError } from '@oncemq/core'
import {
  givenOptions,
  received,
  requireDeduplicator,
  requireFunction,
  requireInteger,
  requireMiddlewares,
  requireOneOf,
  requireRetry,
  requireSignal,
  retryDefaults,
  retryOf,
} from '@oncemq/core/broker'
import { requirePart } from './clients/given.ts'
import type { KeyOf } from './message.ts'
import { messageId } from './message.ts'
import type { ConsumeOptions, DedupEachBatchOptions, DedupEachMessageOptions } from './options.ts'
import { consumeDefaults } from './options.ts'

/** Options of all forms, complete. */
export interface SharedSettings {
  readonly key: KeyOf
  readonly parkingTopic: (topic: string) => string
  readonly retry: Backoff
}

type Given = 'client' | 'consumer' | 'producer' | 'onEnd'

export type ConsumeSettings<Tx> = SharedSettings &
  Readonly<Required<Omit<ConsumeOptions<Tx>, Given | keyof SharedSettings>>> &
  Pick<ConsumeOptions<Tx>, Given>

const CONCURRENCY_MAX = 65_535
const sharedNames = ['key', 'parkingTopic', 'retry']
const consumeNames = 'client consumer producer topics dedup handler ordering concurrency fromBeginning'
  .concat(' middlewares onEnd')
  .split(' ')
  .concat(sharedNames)

/** @throws OptionError for an option that is wrong. */
export function consumeSettings<Tx>(options: ConsumeOptions<Tx>): ConsumeSettings<Tx> {
  const given = givenOptions('consume', options, new Set(consumeNames)) as ConsumeOptions<Tx>
  requireDeduplicator('consume', given.dedup)
  requireFunction('handler', given.handler, 'async (message, context) => { ... }')
  requireSource(given)
  const retry = retryOf(given.retry)
  const settings = { ...sharedDefaults(), ...consumeDefaults, ...given, retry }
  requireShared(settings)
  requireTopics(settings.topics)
  requireOneOf('ordering', settings.ordering, ['partition', 'key', 'none'])
  requireInteger('concurrency', settings.concurrency, 1, CONCURRENCY_MAX)
  requireOrder(settings)
  requireOneOf('fromBeginning', settings.fromBeginning, [true, false])
  requireMiddlewares(settings.middlewares)
  if (settings.onEnd !== undefined) requireFunction('onEnd', settings.onEnd, '(error) => { ... }')
  return Object.freeze(settings)
}

/** @throws OptionError for an option that is wrong. */
export function dedupEachMessageSettings(
  handler: unknown,
  options: DedupEachMessageOptions,
): SharedSettings & DedupEachMessageOptions {
  requireFunction('dedupEachMessage', handler, 'async ({ message }, context) => { ... }')
  const names = new Set(['producer', 'signal', ...sharedNames])
  const given = givenOptions('dedupEachMessage', options, names) as DedupEachMessageOptions
  requirePart('producer', given.producer)
  requireSignal(given.signal)
  const retry = retryOf(given.retry)
  const settings = { ...sharedDefaults(), ...given, retry }
  requireShared(settings)
  return Object.freeze(settings)
}

export type DedupEachBatchSettings = Omit<SharedSettings, 'retry'> &
  DedupEachBatchOptions & { readonly eachBatchAutoResolve: boolean }

/** @throws OptionError for an option that is wrong. */
export function dedupEachBatchSettings(
  handler: unknown,
  options: DedupEachBatchOptions,
): DedupEachBatchSettings {
  requireFunction('dedupEachBatch', handler, 'async ({ batch, resolveOffset }) => { ... }')
  const names = new Set(['producer', 'signal', 'eachBatchAutoResolve', 'key', 'parkingTopic'])
  const given = givenOptions('dedupEachBatch', options, names) as DedupEachBatchOptions
  requirePart('producer', given.producer)
  requireSignal(given.signal)
  const settings = { ...sharedDefaults(), eachBatchAutoResolve: true, ...given }
  requireShared({ ...settings, retry: retryDefaults })
  requireOneOf('eachBatchAutoResolve', settings.eachBatchAutoResolve, [true, false])
  return Object.freeze(settings)
}

/** Made anew, so that no defaults object holds functions. */
function sharedDefaults() {
  return { key: messageId(), parkingTopic: (topic: string) => `${topic}.parked` }
}

function requireShared({ key, parkingTopic, retry }: SharedSettings): void {
  requireFunction('key', key, 'a preset such as messageId(), or a function of the message')
  requireFunction('parkingTopic', parkingTopic, 'a function of the topic')
  requireRetry(retry)
}

function requireSource({ client, consumer, producer }: Pick<ConsumeOptions, Given>): void {
  if (client !== undefined && consumer === undefined && producer === undefined) {
    return requirePart('client', client)
  }
  if (client !== undefined || consumer === undefined || producer === undefined) {
    const names = Object.entries({ client, consumer, producer }).filter(([, value]) => value !== undefined)
    throw new OptionError(
      'consume: expected either client, or consumer and producer, ' +
        `received ${names.map(([name]) => name).join(', ') || 'none'}; pass client: new Kafka({ ... })`,
    )
  }
  requirePart('consumer', consumer)
  requirePart('producer', producer)
}

/** One number says which records are done only where they are done one after the other. */
function requireOrder({ ordering, dedup }: Pick<ConsumeSettings<unknown>, 'ordering' | 'dedup'>): void {
  const { followsLog = false, name } = dedup.settings.strategy
  if (!followsLog || ordering === 'partition') return
  throw new OptionError(
    `ordering: expected 'partition' with strategy '${name}', received '${ordering}'; ` +
      `leave it out, and have more partitions for more records at a time`,
  )
}

function requireTopics(topics: unknown): void {
  const isRight = Array.isArray(topics) && topics.length > 0
  if (isRight && topics.every((topic) => typeof topic === 'string' && topic !== '')) return
  throw new OptionError(`topics: expected an array of names, received ${received(topics)}; name at least one`)
}
