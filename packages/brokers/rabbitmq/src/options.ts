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
import type { WaitQueueType } from './queues.ts'

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
   * `classic` may lose one if the broker is killed at the moment of handing it back, or if its queue is full
   * then and refuses (`x-overflow: reject-publish`).
   * @default 'quorum'
   */
  waitQueueType?: WaitQueueType
  /**
   * The arguments of the parking queue, for teams that declare it by themselves, such as
   * `{ 'x-queue-type': 'quorum' }`. None by default. One that was declared with others is not used.
   */
  parkingArguments?: Readonly<Record<string, unknown>>
  /**
   * How many messages a parking queue may hold before no more are parked there, but held in their queue, and
   * told. Looked at about once a minute. 1 to 1000000000.
   * @default 100000
   */
  parkedMax?: number
  /**
   * Where a message goes that is not to be processed (an invalid key, a conflict, attempts used up): to a
   * parking queue (`park`), or by a reject to the dead-letter exchange of its queue (`broker`). Without such
   * an exchange, a reject deletes it.
   * @default 'park'
   */
  onDeadLetter?: 'park' | 'broker'
  /** Waits between the attempts of a handler that throws. 1 s, 2 s, 4 s ... up to a minute by default. */
  retry?: Partial<Backoff>
  /**
   * How long the broker waits for an ack before it closes the channel (`consumer_timeout`). Up to half of it
   * a message is held while it waits for a retry, a busy key or the store. Milliseconds, 1000 to 86400000.
   * @default 1800000
   */
  ackTimeoutMs?: number
}

/** Options of {@link dedupChannel}. */
export interface DedupChannelOptions extends SharedOptions {
  /**
   * What a consumer with `noAck: true` becomes, whose messages the broker forgets as it sends them: `refuse`
   * it, or `pass` it through without deduplication. Replies (`amq.rabbitmq.reply-to`) always pass.
   * @default 'refuse'
   */
  onNoAck?: 'refuse' | 'pass'
  /**
   * The connection for a second channel, that sends copies. Needed for channels that amqplib did not make;
   * one that is for copies alone lets consumption go on while an alarm of the broker blocks it.
   */
  connection?: AmqpConnection
}

/** Options of {@link dedupListener}. */
export interface DedupListenerOptions extends Pick<SharedOptions, 'key'> {
  /**
   * Rascal's recovery for a message that is not to be processed (an invalid key, a conflict, attempts used
   * up). By default it is held, and told, since nothing is known to keep it; name a publication of yours:
   * `{ strategy: 'forward', publication: 'dead_letters' }`.
   */
  onDeadLetter?: Recovery | Recovery[]
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
  /** The queue to consume, with strategy `watermark` the stream. It must exist. */
  queue: string
  dedup: Deduplicator<Tx>
  /** Its message may be typed as amqplib's own `ConsumeMessage`. */
  handler: MessageHandler<Tx, Message>
  /**
   * A connection of amqplib; with amqplib's `recovery` the consumer comes back by itself. It is not closed.
   */
  connection?: AmqpConnection
  /**
   * Makes a connection, and again whenever the last one is gone; another one is for copies of messages, so
   * that an alarm of the broker blocks those alone. What it makes is closed by `close()`.
   */
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
  /**
   * Whether replies are kept with the record and sent again when a duplicate with the same payload asks for
   * one.
   * @default false
   */
  replayResult?: boolean
  /**
   * What is sent to the `replyTo` of a message when it has been dead-lettered, from what its handler threw
   * last: `undefined` where it did not run here. Those who ask hear nothing by default, and nothing before.
   * @example (_message, error) => ({ failed: error instanceof Error ? error.name : 'unknown' })
   */
  errorReply?: (message: Message, error: unknown) => Reply | undefined
  /**
   * What of a message its fingerprint is made of, for senders that put what differs each time around it. All
   * of its content by default, and where this throws or answers something else.
   * @example ({ content }) => Buffer.from(JSON.stringify(JSON.parse(content.toString()).data))
   */
  payload?: (message: Message) => Uint8Array
  /**
   * With strategy `watermark`, whose queue is a stream: where a group begins of which nothing was handled,
   * with the oldest message that is there, or with what is published from then on, which passes over what
   * came before.
   * @default true
   */
  fromBeginning?: boolean
  /** Arguments of `basic.consume`, such as `consumerTag`, `priority` or `exclusive`. */
  consume?: ConsumeArguments
  /** Called once if the consumer ends without `close()`: its channel or connection is gone for good. */
  onEnd?: (error: OncemqError) => void
}

/** Arguments of `basic.consume`, by amqplib's names; the broker's further ones stand in `arguments`. */
export interface ConsumeArguments {
  readonly consumerTag?: string
  readonly exclusive?: boolean
  readonly priority?: number
  readonly arguments?: Readonly<Record<string, unknown>>
}

const sharedDefaults = Object.freeze({
  waitQueueType: 'quorum' as WaitQueueType,
  parkedMax: 100_000,
  onDeadLetter: 'park' as 'park' | 'broker',
  ackTimeoutMs: 1_800_000,
})

/** The defaults of {@link DedupChannelOptions}. */
export const dedupChannelDefaults = Object.freeze({
  ...sharedDefaults,
  onNoAck: 'refuse' as 'refuse' | 'pass',
})

/** The defaults of {@link ConsumeOptions}. */
export const consumeDefaults = Object.freeze({
  ...sharedDefaults,
  prefetch: 128,
  middlewares: Object.freeze([]) as readonly Middleware<AmqpMessage, ProcessOutcome>[],
  replayResult: false,
  fromBeginning: true,
})
