import type { AmqpConnection, RawChannel } from './amqp.ts'
import { answerOf } from './amqp.ts'

type Emitter = Pick<RawChannel, 'on' | 'removeListener'>

/** Closes a channel, which may be closed already. Never rejects. */
export function closeChannel(channel: RawChannel): Promise<void> {
  return closed(channel, () => answerOf((done) => channel.close(done)))
}

/** Closes a connection, which may be closed already. Never rejects. */
export function closeConnection(connection: AmqpConnection): Promise<void> {
  const closing = connection as Partial<Emitter> & { close?(): Promise<unknown> }
  return closed(closing, async () => closing.close?.())
}

/** amqplib does not answer when the connection is cut meanwhile; its event `close` says so alone. */
async function closed(emitter: Partial<Emitter>, close: () => Promise<unknown>): Promise<void> {
  // What comes too late has no listener yet, and without one the process would end.
  emitter.on?.('error', () => undefined)
  let onClose = (): void => undefined
  const isClosed = new Promise<void>((resolve) => (onClose = resolve))
  emitter.on?.('close', onClose)
  await Promise.race([isClosed, close().catch(() => undefined)])
  emitter.removeListener?.('close', onClose)
}
