import type { Clock } from '@oncemq/core/broker'
import type { RawChannel } from './amqp.ts'

const INTERNAL_ERROR = 541
const UNEXPECTED_FRAME = 505

type Closing = RawChannel & {
  closeWithError(id: undefined, reason: string, code: number, error: Error): void
}

/**
 * What amqplib does with a callback that throws, since ours is called later than amqplib's own: the event
 * `handler-error` if someone listens (2.x), else the channel is closed with 541 and its event `error` carries
 * what was thrown.
 */
export function raise(channel: RawChannel, thrown: unknown, clock: Clock): void {
  if (channel.listenerCount('handler-error') > 0) {
    clock.after(0, () => channel.emit('handler-error', thrown, 'delivery'))
    return
  }
  if (!closes(channel)) return queueMicrotask(() => rethrow(thrown))
  try {
    if (thrown instanceof Error) {
      channel.closeWithError(undefined, 'Error while processing message', INTERNAL_ERROR, thrown)
    } else if (typeof thrown === 'string') {
      channel.closeWithError(undefined, thrown, UNEXPECTED_FRAME, new Error(thrown))
    } else {
      const error = new Error(String(thrown))
      channel.closeWithError(undefined, 'Internal error while processing message', INTERNAL_ERROR, error)
    }
  } catch {
    // The channel is closed already, and the message comes again.
  }
}

function closes(channel: RawChannel): channel is Closing {
  return typeof (channel as Partial<Closing>).closeWithError === 'function'
}

function rethrow(thrown: unknown): never {
  throw thrown
}
