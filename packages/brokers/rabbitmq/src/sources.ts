import { OncemqError } from '@oncemq/core'
import type { AmqpConnection, RawChannel } from './amqp.ts'
import { answerOf } from './amqp.ts'
import type { ConsumeOptions } from './options.ts'

/** Where the managed consumer's channels come from. */
export interface ChannelSource {
  /**
   * @throws OncemqError `ONCEMQ_BROKER_UNAVAILABLE` when there will never be another; any other error may
   * pass.
   */
  open(): Promise<RawChannel>
  /** The connection of the last channel, for a second one. */
  readonly connection: AmqpConnection | undefined
  /** Closes a channel that it opened. */
  release(channel: RawChannel): Promise<void>
  /** Closes the connection, if it made it. */
  close(): Promise<void>
}

type Emitter = Partial<Pick<RawChannel, 'on'>>

export function channelSource(
  options: Pick<ConsumeOptions<never>, 'connection' | 'connect' | 'channel'>,
): ChannelSource {
  const { connection, connect, channel } = options
  if (channel !== undefined) return givenChannel(channel as unknown as RawChannel)
  if (connect !== undefined) return madeConnections(connect)
  return givenConnection(connection as AmqpConnection)
}

function givenChannel(channel: RawChannel): ChannelSource {
  let used = false
  return {
    connection: undefined,
    async open() {
      if (used) throw gone('channel')
      used = true
      return channel
    },
    async release() {},
    async close() {},
  }
}

function givenConnection(connection: AmqpConnection): ChannelSource {
  // A connection with recovery has no event `close`: it comes back, and createChannel waits for that.
  const state = watch(connection)
  return {
    connection,
    async open() {
      if (state.isGone) throw gone('connection')
      return openChannel(connection)
    },
    release: closeChannel,
    async close() {},
  }
}

function madeConnections(connect: () => Promise<AmqpConnection>): ChannelSource {
  let made: { connection: AmqpConnection; state: { isGone: boolean } } | undefined
  return {
    get connection() {
      return made?.connection
    },
    async open() {
      if (made === undefined || made.state.isGone) {
        const connection = await connect()
        ;(connection as Emitter).on?.('error', () => undefined)
        made = { connection, state: watch(connection) }
      }
      return openChannel(made.connection)
    },
    release: closeChannel,
    async close() {
      const closing = made?.connection as { close?(): Promise<void> } | undefined
      if (made?.state.isGone === false) await closing?.close?.().catch(() => undefined)
    },
  }
}

function watch(connection: AmqpConnection): { isGone: boolean } {
  const state = { isGone: false }
  ;(connection as Emitter).on?.('close', () => (state.isGone = true))
  return state
}

async function openChannel(connection: AmqpConnection): Promise<RawChannel> {
  const channel = (await connection.createChannel()) as RawChannel
  // Its event `close` follows and says all that matters; without a listener the process would end.
  channel.on('error', () => undefined)
  return channel
}

async function closeChannel(channel: RawChannel): Promise<void> {
  await answerOf((done) => channel.close(done)).catch(() => undefined)
}

function gone(what: string): OncemqError {
  return new OncemqError(
    'ONCEMQ_BROKER_UNAVAILABLE',
    `consume: expected an open ${what}, received one that is closed; ` +
      `use amqplib's recovery, or give a function as option 'connect'`,
  )
}
