import type {
  Backoff,
  Deduplicator,
  HandlerContext,
  Middleware,
  OncemqError,
  ProcessOutcome,
} from '@oncemq/core'
import type { AmqpChannel, AmqpConnection, AmqpMessage } from './amqp.ts'
import type { KeyOf } from './message.ts'
import type { Recovery } from './rascal.ts'
import type { Reply } from './replies.ts'
import type { WaitQueueType } from './retry.ts'

/** Options of both forms. */
export interface SharedOptions {
  /**
   * Reads a message's key: a preset such as `messageId()`, `header('x-id')` or `jsonField('order.id')`, or
   * any function. It is called once, when the message arrives. The property `messageId` by default.
   */
  key?: KeyOf
  /**
   * The name of the queue in which messages are parked that are not to be processed. `<queue>.parked` by
   * default.
   */
  parkingQueue?: (queue: string) => string
  /**
   * The type of the queues in which messages wait for a retry. `quorum` hands them back at least once;
   * `classic` may lose one if the broker is killed at the moment of handing it back.
   * @default 'quorum'
   */
  waitQueueType?: WaitQueueType
}

/** Options of {@link dedupChannel}. */
export interface DedupChannelOptions extends SharedOptions {
  /**
   * What happens to a message that is not to be processed (an invalid key, a conflict, attempts used up):
   * `park` it, or `nack` it without requeue, for queues that have a dead-letter exchange; without one that
   * deletes the message.
   * @default 'park'
   */
  onReject?: 'park' | 'nack'
  /**
   * The connection, for a second channel that sends copies. Needed only for channels that amqplib did not
   * make.
   */
  connection?: AmqpConnection
}

/** Options of {@link dedupListener}. */
export interface DedupListenerOptions extends Pick<SharedOptions, 'key'> {
  /**
   * Rascal's recovery for a message that is not to be processed (an invalid key, a conflict, attempts used
   * up). By default it is requeued after a minute, again and again, since nothing else is known to keep it;
   * name a publication of yours: `{ strategy: 'forward', publication: 'dead_letters' }`.
   */
  onReject?: Recovery | Recovery[]
}

/**
 * Does the work of one message. When it returns, the message is done; what it returns is sent to `replyTo`. A
 * throw makes the message come again later, a `PermanentError` dead-letters it at once.
 */
export type MessageHandler<Tx = undefined, Message extends AmqpMessage = AmqpMessage> = (
  message: Message,
  context: HandlerContext<Tx>,
) => Promise<Reply | void> | Reply | void

/**
 * Options of {@link consume}. One of `connection`, `connect` and `channel` says where channels come from. All
 * times are milliseconds.
 */
export interface ConsumeOptions<
  Tx = undefined,
  Message extends AmqpMessage = AmqpMessage,
> extends SharedOptions {
  /** The queue to consume. It must exist. */
  queue: string
  dedup: Deduplicator<Tx>
  /** Its message may be typed as amqplib's own `ConsumeMessage`. */
  handler: MessageHandler<Tx, Message>
  /**
   * A connection of amqplib; with amqplib's `recovery` the consumer comes back by itself. It is not closed.
   */
  connection?: AmqpConnection
  /** Makes a connection, and again whenever the last one is gone. What it makes is closed by `close()`. */
  connect?: () => Promise<AmqpConnection>
  /** A channel to consume on. It is not closed; when it closes, the consumer ends. */
  channel?: AmqpChannel
  /**
   * How many messages are processed at a time. 1 to 65535.
   * @default 128
   */
  prefetch?: number
  /**
   * Stand around the processing of each message, duplicates included, the first one outermost. They see its
   * outcome.
   * @default []
   */
  middlewares?: readonly Middleware<AmqpMessage, ProcessOutcome>[]
  /** Waits between the attempts of a handler that throws. 1 s, 2 s, 4 s ... up to a minute by default. */
  retry?: Partial<Backoff>
  /**
   * Where a message goes that will not be processed: to a parking queue (`park`), or by a reject to the
   * dead-letter exchange of its queue (`broker`). Without such an exchange, a reject deletes it.
   * @default 'park'
   */
  deadLetter?: 'park' | 'broker'
  /**
   * Whether replies are kept with the record and sent again when a duplicate asks for one.
   * @default false
   */
  replayResult?: boolean
  /** Arguments of `basic.consume`, such as `consumerTag`, `priority` or `exclusive`. */
  consume?: ConsumeArguments
  /** Called once if the consumer ends without `close()`: its channel or connection is gone for good. */
  onEnd?: (error: OncemqError) => void
}

export interface ConsumeArguments {
  readonly consumerTag?: string
  readonly exclusive?: boolean
  readonly priority?: number
  readonly arguments?: Readonly<Record<string, unknown>>
}

/** The defaults of {@link DedupChannelOptions}. */
export const dedupChannelDefaults = Object.freeze({
  onReject: 'park' as 'park' | 'nack',
  waitQueueType: 'quorum' as WaitQueueType,
})

/** The defaults of {@link ConsumeOptions}. */
export const consumeDefaults = Object.freeze({
  prefetch: 128,
  middlewares: Object.freeze([]) as readonly Middleware<AmqpMessage, ProcessOutcome>[],
  deadLetter: 'park' as 'park' | 'broker',
  replayResult: false,
  waitQueueType: 'quorum' as WaitQueueType,
})
