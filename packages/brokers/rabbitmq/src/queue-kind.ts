import { OncemqError } from '@oncemq/core'
import type { AmqpMessage, RawChannel } from './amqp.ts'
import { answerOf } from './amqp.ts'

/** What the broker stamps on messages of a stream, and what anybody may send. */
const OFFSET = 'x-stream-offset'
const PRECONDITION_FAILED = 406
const STREAM_ARGUMENT = /inequivalent arg 'x-(?:max-age|stream-[a-z-]+|initial-cluster-size)'/

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
 * Asks the broker whether a queue is a stream: a queue that is there, declared again as a stream, is refused
 * by its kind, or is one. AMQP has no other way to ask. Opens a channel, which the refusal closes. A broker
 * that answers otherwise (no right to declare) is taken to have no stream there.
 */
export async function isStream(open: () => Promise<RawChannel>, queue: string): Promise<boolean> {
  const channel = await open()
  channel.on('error', () => undefined)
  const asStream = { durable: true, arguments: { 'x-queue-type': 'stream' } }
  try {
    await answerOf((done) => channel.checkQueue(queue, done))
    await answerOf((done) => channel.assertQueue(queue, asStream, done))
    await answerOf((done) => channel.close(done)).catch(() => undefined)
    return true
  } catch (error) {
    const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown }
    return code === PRECONDITION_FAILED && typeof message === 'string' && STREAM_ARGUMENT.test(message)
  }
}

export function streamRefused(): OncemqError {
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    'consume: expected a classic or quorum queue, received a stream, which never takes a message back; ' +
      'bind a quorum queue beside it and consume that',
  )
}
