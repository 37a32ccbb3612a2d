import { OncemqError, OptionError } from '@oncemq/core'
import type { AmqpMessage, RawChannel } from './amqp.ts'
import { answerOf } from './amqp.ts'
import { closeChannel } from './closing.ts'
import type { ConsumeArguments } from './options.ts'

/** What the broker stamps on messages of a stream, and what anybody may send. */
const OFFSET = 'x-stream-offset'
const PRECONDITION_FAILED = 406
const CHANNEL_ERRORS = new Set<unknown>([403, 404, 405, PRECONDITION_FAILED])
const WITHOUT_PREFETCH = /prefetch count is not set/

/**
 * A stream takes nothing back: it answers a nack with the next message, so what is busy or has failed would
 * be passed over in silence.
 * @throws OncemqError `ONCEMQ_CONSUMER_UNSAFE` when `basic.consume` asks for an offset.
 */
export function refuseStreamArguments(options: object | null | undefined): void {
  const { arguments: args } = (options ?? {}) as { arguments?: Record<string, unknown> }
  if (args?.[OFFSET] !== undefined) throw streamRefused()
}

/** @throws OptionError when `basic.consume` of a stream asks for an offset, which its row says. */
export function requireRowOffset(options: object): void {
  const { arguments: args } = options as { arguments?: Record<string, unknown> }
  if (args?.[OFFSET] === undefined) return
  throw new OptionError(
    `consume: expected no ${OFFSET} with strategy 'watermark', whose row says where to go on, ` +
      `received one; leave it out, say with fromBeginning where a new group begins`,
  )
}

/** The offset of a stream's message; `undefined` where the broker has stamped none. */
export function offsetOf({ properties }: AmqpMessage): bigint | undefined {
  const offset = properties.headers?.[OFFSET]
  return typeof offset === 'number' && Number.isSafeInteger(offset) ? BigInt(offset) : undefined
}

/** Options of `basic.consume` that begin with the first message, the last ones, or an offset. */
export function consumeFrom(place: 'first' | 'last' | bigint, options: ConsumeArguments = {}): object {
  // Offsets of messages that were received are safe integers.
  const offset = typeof place === 'bigint' ? Number(place) : place
  return { ...options, arguments: { ...options.arguments, [OFFSET]: offset } }
}

/** Whether a message looks as if it came from a stream. It proves nothing: a reason to ask the broker. */
export function looksLikeStream({ properties }: AmqpMessage): boolean {
  return properties.headers?.[OFFSET] !== undefined
}

/**
 * Asks the broker whether a queue that is consumed here is a stream: of streams it counts no consumers, and a
 * consumer without prefetch it refuses by the kind of the queue. AMQP has no other way to ask that neither
 * declares anything nor needs more than the right to read. Opens a channel, and closes it. Where somebody
 * cancels the consumer at this very moment, the second one takes its place until that close.
 */
export async function isStream(open: () => Promise<RawChannel>, queue: string): Promise<boolean> {
  return onChannel(open, async (channel) => {
    try {
      const { consumerCount } = await look(channel, queue)
      return consumerCount === 0 && (await refusesUnbounded(channel, queue))
    } catch (error) {
      // It is gone, or not ours to look at.
      if (isRefusal(error)) return false
      throw error
    }
  })
}

/**
 * Asks, before a queue is consumed here, whether it is a stream. A queue that is none and has messages may
 * hand out one of them, which is returned: many returns end a message, so that no more than one is asked for.
 */
export async function startsAsStream(open: () => Promise<RawChannel>, queue: string): Promise<boolean> {
  return onChannel(open, async (channel) => {
    const { consumerCount, messageCount } = await look(channel, queue)
    if (consumerCount > 0) return false
    if (messageCount === 0) return refusesUnbounded(channel, queue)
    await answerOf<unknown>((done) => channel.prefetch(1, false, done) ?? done(null))
    await answerOf<unknown>((done) => channel.consume(queue, () => undefined, {}, done))
    return (await look(channel, queue)).consumerCount === 0
  })
}

/** Whether the broker has closed a channel for what was asked on it. */
export function isRefusal(error: unknown): boolean {
  return CHANNEL_ERRORS.has((error as { code?: unknown } | undefined)?.code)
}

/** Asks on a channel, which is closed afterwards. */
export async function onChannel<Answer>(
  open: () => Promise<RawChannel>,
  ask: (channel: RawChannel) => Promise<Answer>,
): Promise<Answer> {
  const channel = await open()
  channel.on('error', () => undefined)
  try {
    return await ask(channel)
  } finally {
    await closeChannel(channel)
  }
}

async function look(channel: RawChannel, queue: string) {
  const found = await answerOf<unknown>((done) => channel.checkQueue(queue, done))
  return found as { readonly consumerCount: number; readonly messageCount: number }
}

async function refusesUnbounded(channel: RawChannel, queue: string): Promise<boolean> {
  await answerOf<unknown>((done) => channel.prefetch(0, false, done) ?? done(null))
  try {
    await answerOf<unknown>((done) => channel.consume(queue, () => undefined, { exclusive: true }, done))
    return false
  } catch (error) {
    const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown }
    // What the broker did not answer says nothing about the queue.
    if (!isRefusal(error)) throw error
    return code === PRECONDITION_FAILED && typeof message === 'string' && WITHOUT_PREFETCH.test(message)
  }
}

export function streamRefused(): OncemqError {
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    'consume: expected a classic or quorum queue, received a stream, which never takes a message back; ' +
      "consume it with strategy 'watermark', or bind a quorum queue beside it and consume that",
  )
}

/** What strategy `watermark` says to a queue that keeps no log. */
export function streamExpected(queue: string): OncemqError {
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    `consume: expected a stream for strategy 'watermark', received the queue '${queue}', whose messages ` +
      "have no offset; use strategy 'transactional', or publish to a stream",
  )
}
