import { OncemqError } from '@oncemq/core'
import type { AmqpMessage } from './amqp.ts'

/**
 * The broker stamps it on every message that it reads from a stream; a consumer of a stream may ask for one.
 */
const OFFSET = 'x-stream-offset'

/**
 * A stream takes nothing back: it answers a nack with the next message, so what is busy or has failed would
 * be passed over in silence.
 * @throws OncemqError `ONCEMQ_CONSUMER_UNSAFE` when `basic.consume` asks for an offset.
 */
export function refuseStreamArguments(options: object | null | undefined): void {
  const { arguments: args } = (options ?? {}) as { arguments?: Record<string, unknown> }
  if (args?.[OFFSET] !== undefined) throw isStream()
}

/** Why a message cannot be processed: it was read from a stream. */
export function streamRefusal({ properties }: AmqpMessage): OncemqError | undefined {
  return properties.headers?.[OFFSET] === undefined ? undefined : isStream()
}

function isStream(): OncemqError {
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    'consume: expected a classic or quorum queue, received a stream, which never takes a message back; ' +
      'bind a quorum queue beside it and consume that',
  )
}
