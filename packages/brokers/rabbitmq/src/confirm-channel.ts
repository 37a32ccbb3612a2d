import { OncemqError } from '@oncemq/core'
import type { AmqpConnection, RawChannel } from './amqp.ts'
import { answerOf } from './amqp.ts'

/** Ids of the protocol's confirm.select and confirm.select-ok: class 85, methods 10 and 11. */
const CONFIRM_SELECT = 0x55000a
const CONFIRM_SELECT_OK = 0x55000b

/** What amqplib's own channel has beyond its documented API, alike from 0.10 to 2.x. */
interface InnerChannel extends RawChannel {
  open(done: unknown): unknown
  rpc(method: number, fields: object, expected: number, done: unknown): unknown
  pushConfirmCallback(done: (error: unknown) => void): void
}

type InnerClass = new (connection: unknown) => InnerChannel

/** Sends and answers when the broker has it. */
export interface ConfirmChannel {
  readonly channel: RawChannel
  publish(queue: string, content: Buffer, options: object, done: (error: unknown) => void): void
}

export type OpenConfirmChannel = () => Promise<ConfirmChannel>

/**
 * How a confirm channel of our own is opened beside a channel: by the connection that the user names, by the
 * channel's connection where that can, else the way in which amqplib itself does it, since a channel does not
 * know its model.
 * @throws OncemqError `ONCEMQ_CONSUMER_UNSAFE` where there is no way.
 */
export function confirmChannelBeside(raw: RawChannel, connection?: AmqpConnection): OpenConfirmChannel {
  const opener = connection ?? raw.connection
  if (canOpen(opener)) return async () => documented((await opener.createConfirmChannel()) as RawChannel)
  if (isInner(raw)) return () => openInner(raw)
  throw new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    'connection: expected a channel of amqplib 0.10 or later, received one that cannot open a second one; ' +
      "pass the connection as option 'connection'",
  )
}

function documented(channel: RawChannel): ConfirmChannel {
  return {
    channel,
    publish: (queue, content, options, done) => void channel.publish('', queue, content, options, done),
  }
}

async function openInner(raw: InnerChannel): Promise<ConfirmChannel> {
  const channel = new (raw.constructor as InnerClass)(raw.connection)
  await answerOf((done) => channel.open(done))
  await answerOf((done) => channel.rpc(CONFIRM_SELECT, { nowait: false }, CONFIRM_SELECT_OK, done))
  // A confirm channel's class registers the callback by itself, a plain channel's does not.
  if ('waitForConfirms' in channel) return documented(channel)
  return {
    channel,
    publish(queue, content, options, done) {
      channel.publish('', queue, content, options)
      channel.pushConfirmCallback(done)
    },
  }
}

function canOpen(value: unknown): value is AmqpConnection {
  const connection = value as Partial<AmqpConnection> | undefined
  return typeof connection?.createConfirmChannel === 'function'
}

function isInner(raw: RawChannel): raw is InnerChannel {
  const inner = raw as Partial<InnerChannel>
  return [inner.open, inner.rpc, inner.pushConfirmCallback].every((method) => typeof method === 'function')
}
