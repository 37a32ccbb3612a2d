import { OncemqError } from '@oncemq/core'
import type { Clock } from '@oncemq/core/broker'
import type { AmqpConnection, RawChannel } from './amqp.ts'
import { closeChannel, closeConnection } from './closing.ts'
import type { OpenConfirmChannel } from './confirm-channel.ts'
import { confirmChannelBeside } from './confirm-channel.ts'
import { requireConnection } from './given-client.ts'
import { inTime } from './in-time.ts'
import type { ConsumeOptions } from './options.ts'

/** Where the managed consumer's channels come from. */
export interface ChannelSource {
  /** Whether the channel is the user's, and stays open when the consumer is closed. */
  readonly isShared: boolean
  /**
   * @throws OncemqError `ONCEMQ_CONSUMER_ENDED` when there will never be another; any other error may pass.
   */
  open(): Promise<RawChannel>
  /** A further channel for a question to the broker. */
  openBeside(channel: RawChannel): Promise<RawChannel>
  /**
   * How a confirm channel for copies is opened: on a connection of its own where one can be had, since a
   * broker with an alarm blocks each connection that publishes, consumers and all.
   */
  confirmChannel(channel: RawChannel): OpenConfirmChannel
  /** Closes a channel that it opened. Never rejects. */
  release(channel: RawChannel): Promise<void>
  /** Closes what connections it made, and listens to nothing any more. Never rejects. */
  close(): Promise<void>
}

type Emitter = Partial<Pick<RawChannel, 'on' | 'removeListener'>>

export function channelSource(
  options: Pick<ConsumeOptions<never>, 'connection' | 'connect' | 'channel'>,
  clock: Clock,
): ChannelSource {
  const { connection, connect, channel } = options
  if (channel !== undefined) return givenChannel(channel as unknown as RawChannel)
  if (connect !== undefined) return madeConnections(connect, clock)
  return givenConnection(connection as AmqpConnection)
}

function givenChannel(channel: RawChannel): ChannelSource {
  let used = false
  const beside = (): Promise<RawChannel> => confirmChannelBeside(channel)().then((confirm) => confirm.channel)
  return {
    isShared: true,
    async open() {
      if (used) throw gone('channel')
      used = true
      return channel
    },
    openBeside: beside,
    confirmChannel: () => confirmChannelBeside(channel),
    async release() {},
    async close() {},
  }
}

function givenConnection(connection: AmqpConnection): ChannelSource {
  // A connection with recovery has no event `close`: it comes back, and createChannel waits for that.
  const state = { isGone: false }
  const onClose = (): void => void (state.isGone = true)
  ;(connection as Emitter).on?.('close', onClose)
  let opening: Promise<RawChannel> | undefined
  return {
    isShared: false,
    async open() {
      if (state.isGone) throw gone('connection')
      // Whoever asks again while the connection recovers gets the answer to the first question.
      opening ??= openChannel(connection).finally(() => (opening = undefined))
      return opening
    },
    openBeside: () => openChannel(connection),
    confirmChannel: (channel) => confirmChannelBeside(channel, connection),
    release: closeChannel,
    async close() {
      ;(connection as Emitter).removeListener?.('close', onClose)
    },
  }
}

/** A connection that is made again when it is gone. */
class MadeConnection {
  readonly #connect: () => Promise<AmqpConnection>
  readonly #clock: Clock
  #made: AmqpConnection | undefined
  #connecting: Promise<AmqpConnection> | undefined
  #isClosed = false

  constructor(connect: () => Promise<AmqpConnection>, clock: Clock) {
    this.#connect = connect
    this.#clock = clock
  }

  /** Whoever asks while it is being made gets the same one. */
  async get(): Promise<AmqpConnection> {
    if (this.#made !== undefined) return this.#made
    this.#connecting ??= this.#make().finally(() => (this.#connecting = undefined))
    return this.#connecting
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const made = this.#made
    this.#made = undefined
    if (made !== undefined) await closeConnection(made)
  }

  /** A handshake that is not answered is given up: a broker that is back is asked anew. */
  async #make(): Promise<AmqpConnection> {
    const connection = await inTime(Promise.resolve(this.#connect()), {
      clock: this.#clock,
      what: 'a connection',
      late: closeConnection,
    })
    // What is no connection will be none the next time either.
    requireConnection('connect', connection)
    const { on } = connection as Emitter
    // Its event `close` follows, and says all that matters; without a listener the process would end.
    on?.call(connection, 'error', () => undefined)
    if (this.#isClosed) {
      await closeConnection(connection)
      throw new Error('the connection came too late')
    }
    on?.call(connection, 'close', () => this.#made === connection && (this.#made = undefined))
    this.#made = connection
    return connection
  }
}

function madeConnections(connect: () => Promise<AmqpConnection>, clock: Clock): ChannelSource {
  const consuming = new MadeConnection(connect, clock)
  const publishing = new MadeConnection(connect, clock)
  return {
    isShared: false,
    async open() {
      return openChannel(await consuming.get())
    },
    async openBeside() {
      return openChannel(await consuming.get())
    },
    confirmChannel: (channel) => async () => confirmChannelBeside(channel, await publishing.get())(),
    release: closeChannel,
    async close() {
      await Promise.all([consuming.close(), publishing.close()])
    },
  }
}

async function openChannel(connection: AmqpConnection): Promise<RawChannel> {
  const channel = (await connection.createChannel()) as RawChannel
  // Its event `close` follows and says all that matters; without a listener the process would end.
  channel.on('error', () => undefined)
  return channel
}

function gone(what: string): OncemqError {
  return new OncemqError(
    'ONCEMQ_CONSUMER_ENDED',
    `consume: expected an open ${what}, received one that is closed; ` +
      `use amqplib's recovery, or give a function as option 'connect'`,
  )
}
