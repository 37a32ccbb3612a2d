import type {
  Backoff,
  Deduplicator,
  HandlerContext,
  Middleware,
  OncemqError,
  ProcessOutcome,
} from '@oncemq/core'
import type { ConsumeResults, RocketmqMessage, RocketmqProducer, RocketmqSimpleConsumer } from './client.ts'
import type { KeyOf } from './message.ts'

/** Options of all forms. */
export interface SharedOptions {
  /**
   * Reads a message's key: a preset such as `messageKeys()`, `property('x-id')` or `jsonField('order.id')`,
   * or any function. It is called once, when the message arrives. `messageKeys()` by default.
   */
  key?: KeyOf
}

/** Where messages go that are not to be processed: an invalid key, a conflict, attempts used up. */
export interface ParkingOptions {
  /**
   * A started producer of yours, to park messages with. Without one they go to the broker's dead-letter queue
   * `%DLQ%<group>`.
   */
  producer?: RocketmqProducer
  /** The name of the topic in which messages are parked. It must exist. `<topic>_parked` by default. */
  parkingTopic?: (topic: string) => string
}

/** Options of {@link dedupSimpleConsumer}. All times are milliseconds. */
export interface DedupSimpleConsumerOptions extends SharedOptions, ParkingOptions {
  /**
   * For how long a message that you have received and not acked yet is kept hidden from other consumers.
   * After that, or after a time that `changeInvisibleDuration` sets, it counts as failed: the `signal` of its
   * context aborts, and its key is free when it is delivered again. 0 to 86400000.
   * @default 120000
   */
  holdMs?: number
}

/** A message listener, as a PushConsumer takes it. With strategy `transactional`, `context.tx` is there. */
export interface MessageListener<Message, Tx = undefined> {
  consume(message: Message, context: HandlerContext<Tx>): unknown
}

/** Options of {@link dedupListener}. All times are milliseconds. */
export interface DedupListenerOptions extends SharedOptions, ParkingOptions {
  /**
   * How many messages the listener works on at a time; those that wait do not count. 1 to 65535.
   * @default 128
   */
  concurrency?: number
  /** Waits between the attempts on a message, made in place. 1 s, 2 s ... up to a minute by default. */
  retry?: Partial<Backoff>
  /** `ConsumeResult` of your copy of the client, if it is not the one that this package finds. */
  results?: ConsumeResults
}

/**
 * Does the work of one message. When it returns, the message is done. A throw lets the message be tried
 * again, a `PermanentError` dead-letters it at once.
 */
export type MessageHandler<Tx = undefined> = (
  message: RocketmqMessage,
  context: HandlerContext<Tx>,
) => unknown

/** Options of {@link consume}. All times are milliseconds. */
export interface ConsumeOptions<Tx = undefined> extends SharedOptions, ParkingOptions {
  /** A SimpleConsumer of yours. If it is not started yet, it is started, and shut down by `close()`. */
  consumer: RocketmqSimpleConsumer
  dedup: Deduplicator<Tx>
  handler: MessageHandler<Tx>
  /**
   * How many messages are processed at a time; those that wait do not count. 1 to 65535.
   * @default 16
   */
  concurrency?: number
  /**
   * For how long a message that was received is hidden from other consumers; renewed at half of it, so it is
   * only how long a crashed worker's messages wait. 10000 to 43200000.
   * @default 30000
   */
  invisibleMs?: number
  /**
   * Stand around the processing of each message, duplicates included, the first one outermost. They see its
   * outcome.
   * @default []
   */
  middlewares?: readonly Middleware<RocketmqMessage, ProcessOutcome>[]
  /** Waits between the attempts of a handler that throws. 1 s, 2 s, 4 s ... up to a minute by default. */
  retry?: Partial<Backoff>
  /** Called once if the consumer ends without `close()`, because its deduplicator was closed. */
  onEnd?: (error: OncemqError) => void
}

/** The defaults of {@link DedupSimpleConsumerOptions}. */
export const dedupSimpleConsumerDefaults = Object.freeze({ holdMs: 120_000 })

/** The defaults of {@link DedupListenerOptions}. */
export const dedupListenerDefaults = Object.freeze({ concurrency: 128 })

/** The defaults of {@link ConsumeOptions}. */
export const consumeDefaults = Object.freeze({
  concurrency: 16,
  invisibleMs: 30_000,
  middlewares: Object.freeze([]) as readonly Middleware<RocketmqMessage, ProcessOutcome>[],
})
