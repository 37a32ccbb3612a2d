import type {
  Backoff,
  Deduplicator,
  HandlerContext,
  Middleware,
  OncemqError,
  ProcessOutcome,
} from '@oncemq/core'
import type { KafkaClient, KafkaConsumer, KafkaMessage, KafkaProducer } from './client.ts'
import type { KeyOf } from './message.ts'

/** Options of all forms. */
export interface SharedOptions {
  /**
   * Reads a record's key: a preset such as `messageId()`, `header('x-event-id')` or `jsonField('order.id')`,
   * or any function. It is called once, when the record arrives. `messageId()` by default.
   */
  key?: KeyOf
  /**
   * The name of the topic to which records go that are not to be processed: an invalid key, a conflict,
   * attempts used up. `<topic>.parked` by default.
   */
  parkingTopic?: (topic: string) => string
  /** Waits between the attempts of a handler that throws. 1 s, 2 s, 4 s ... up to a minute by default. */
  retry?: Partial<Backoff>
}

/** Options of {@link dedupEachMessage}. All times are milliseconds. */
export interface DedupEachMessageOptions extends SharedOptions {
  /** A producer of yours for dead letters, whose topics must exist. */
  producer: KafkaProducer
  /**
   * Abort it before you disconnect the consumer, which waits for `eachMessage`: what waits here for the
   * store, a busy key or its next attempt is given back then. What runs is waited for.
   */
  signal?: AbortSignal
}

/** Options of {@link dedupEachBatch}. */
export interface DedupEachBatchOptions extends Omit<DedupEachMessageOptions, 'retry'> {
  /**
   * What `consumer.run` is given under the same name. With `false` only what the handler resolves is done.
   * @default true
   */
  eachBatchAutoResolve?: boolean
}

/**
 * Which records are handled one after the other: those of a `partition`, those of a partition that have the
 * same `key`, or `none`.
 */
export type Ordering = 'partition' | 'key' | 'none'

/**
 * Does the work of one record. When it returns, the record is done. A throw lets it be tried again, a
 * `PermanentError` dead-letters it at once.
 */
export type MessageHandler<Tx = undefined> = (message: KafkaMessage, context: HandlerContext<Tx>) => unknown

/** Options of {@link consume}. All times are milliseconds. */
export interface ConsumeOptions<Tx = undefined> extends SharedOptions {
  /**
   * The `Kafka` object of kafkajs, or `{ Consumer, Producer, Admin, options }` of `@platformatic/kafka`: the
   * consumer (of the group that the deduplicator names), the producer of dead letters and their topics are
   * made with it. Either this, or `consumer` with `producer`.
   */
  client?: KafkaClient
  /** A consumer of yours that does not run yet. `close()` disconnects it. */
  consumer?: KafkaConsumer
  /** A producer of yours for dead letters, whose topics must exist. */
  producer?: KafkaProducer
  topics: readonly string[]
  dedup: Deduplicator<Tx>
  handler: MessageHandler<Tx>
  /**
   * @default 'partition'
   */
  ordering?: Ordering
  /**
   * How many records are processed at a time; those that wait do not count. 1 to 65535.
   * @default 16
   */
  concurrency?: number
  /**
   * Where a group begins that has committed no offset, or whose offsets have expired: with the oldest record
   * that is there, or with what is produced from then on, which passes over what came before.
   * @default true
   */
  fromBeginning?: boolean
  /**
   * Stand around the processing of each record, duplicates included, the first one outermost. They see its
   * outcome.
   * @default []
   */
  middlewares?: readonly Middleware<KafkaMessage, ProcessOutcome>[]
  /** Called once if the consumer ends without `close()`. */
  onEnd?: (error: OncemqError) => void
}

/** The defaults of {@link ConsumeOptions}. */
export const consumeDefaults = Object.freeze({
  ordering: 'partition' as Ordering,
  concurrency: 16,
  fromBeginning: true,
  middlewares: Object.freeze([]) as readonly Middleware<KafkaMessage, ProcessOutcome>[],
})
