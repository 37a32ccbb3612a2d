import { OncemqError } from '@oncemq/core'
import type { AmqpMessage, RawChannel } from './amqp.ts'
import { answerOf } from './amqp.ts'
import { closeChannel } from './closing.ts'

/** What the broker stamps on messages of a stream, and what anybody may send. */
const OFFSET = 'x-stream-offset'
const PRECONDITION_FAILED = 406
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
  const channel = await open()
  channel.on('error', () => undefined)
  const isRefused = await refusesUnbounded(channel, queue)
  await closeChannel(channel)
  return isRefused
}

async function refusesUnbounded(channel: RawChannel, queue: string): Promise<boolean> {
  try {
    const found = await answerOf<unknown>((done) => channel.checkQueue(queue, done))
    if ((found as { consumerCount: number }).consumerCount > 0) return false
    await answerOf<unknown>((done) => channel.prefetch(0, false, done) ?? done(null))
    await answerOf<unknown>((done) => channel.consume(queue, () => undefined, { exclusive: true }, done))
    return false
  } catch (error) {
    const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown }
    return code === PRECONDITION_FAILED && typeof message === 'string' && WITHOUT_PREFETCH.test(message)
  }
}

export function streamRefused(): OncemqError {
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    'consume: expected a classic or quorum queue, received a stream, which never takes a message back; ' +
      'bind a quorum queue beside it and consume that',
  )
}
