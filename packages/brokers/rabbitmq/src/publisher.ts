import { OncemqError } from '@oncemq/core'
import type { Clock, Timer } from '@oncemq/core/broker'
import { pause, Semaphore } from '@oncemq/core/broker'
import type { AmqpMessage, RawChannel } from './amqp.ts'
import { OWN_PREFIX } from './names.ts'
import { closeChannel } from './closing.ts'
import type { ConfirmChannel, OpenConfirmChannel } from './confirm-channel.ts'
import { inTime } from './in-time.ts'

/** Marks a copy while it is on its way, to know it again when the broker returns it. */
const COPY_HEADER = `${OWN_PREFIX}copy`
/** For how long one that is alone holds up the next ones. */
const TURN_MS_MAX = 10_000
const AT_ONCE_MAX = 1000
/** After an error of the channel that several copies shared, so that one does not fail the others again. */
const ONE_AT_A_TIME = 20
const JITTER_MS_MAX = 50

export interface Publication {
  readonly queue: string
  readonly content: Buffer
  readonly options: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, unknown>>
}

export interface PublisherSettings {
  readonly clock: Clock
  readonly random: { fraction(): number }
}

/**
 * Publishes to queues, and answers when the broker has it. One confirm channel, opened when it is first
 * needed and again after it was closed. What closes it may be the fault of one publication alone: the next
 * ones go one at a time.
 */
export class Publisher {
  readonly #open: OpenConfirmChannel
  readonly #settings: PublisherSettings
  readonly #returned = new Set<string>()
  readonly #turns = new Semaphore(1)
  #channel: Promise<ConfirmChannel> | undefined
  #opened: ConfirmChannel | undefined
  /** How to reject what is not confirmed yet, when the channel is gone. */
  readonly #unconfirmed = new Set<(error: Error) => void>()
  #count = 0
  #carefully = 0
  #isClosed = false
  /** Called when the channel has gone, and with it what was declared on it. */
  onChannelGone: () => void = () => undefined

  constructor(open: OpenConfirmChannel, settings: PublisherSettings) {
    this.#open = open
    this.#settings = settings
  }

  /** The channel, for declarations. */
  async channel(): Promise<RawChannel> {
    return (await this.#ready()).channel
  }

  /**
   * Sends to a queue that has to take it. Rejects unless the broker confirmed that the queue has it. A broker
   * that has an alarm reads nothing and says nothing: how long to wait for that is the caller's to say.
   */
  async send({ queue, content, options, headers }: Publication): Promise<void> {
    const id = String(++this.#count)
    const all = { ...options, headers: { ...headers, [COPY_HEADER]: id }, mandatory: true }
    await this.publish(queue, content, all)
    if (!this.#returned.delete(id)) return
    throw new Error('no queue took the copy of a message: it was deleted, or may not be declared')
  }

  /**
   * Publishes to a queue; resolves when the broker has confirmed it, whether there is such a queue or not.
   */
  async publish(queue: string, content: Buffer, options: object): Promise<void> {
    if (this.#carefully === 0) return this.#publish(queue, content, options)
    await this.#turns.acquire()
    const { clock, random } = this.#settings
    await pause(clock, Math.ceil(random.fraction() * JITTER_MS_MAX))
    this.#carefully = Math.max(0, this.#carefully - 1)
    const publishing = this.#publish(queue, content, options)
    const timer = clock.after(TURN_MS_MAX, () => this.#endTurn(turn), 'background')
    const turn = { timer, isOver: false }
    try {
      return await publishing
    } finally {
      this.#endTurn(turn)
    }
  }

  /** Waits for no channel that is being opened: with a connection that is down that may take for ever. */
  async close(): Promise<void> {
    const [opening, open] = [this.#channel, this.#opened]
    this.#isClosed = true
    this.#channel = undefined
    if (open !== undefined) await closed(open)
    else void opening?.then(closed, () => undefined)
  }

  #endTurn(turn: { timer: Timer; isOver: boolean }): void {
    if (turn.isOver) return
    turn.isOver = true
    turn.timer.cancel()
    this.#turns.release()
  }

  async #publish(queue: string, content: Buffer, options: object): Promise<void> {
    const confirm = await this.#ready()
    const unconfirmed = this.#unconfirmed
    if (unconfirmed.size >= AT_ONCE_MAX) throw new Error('too many copies wait for the broker')
    return new Promise((resolve, reject) => {
      unconfirmed.add(reject)
      const done = (error: unknown): void => {
        unconfirmed.delete(reject)
        if (error === null || error === undefined) resolve()
        else reject(error as Error)
      }
      try {
        confirm.publish(queue, content, options, done)
      } catch (error) {
        done(error)
      }
    })
  }

  #ready(): Promise<ConfirmChannel> {
    if (this.#isClosed) return Promise.reject(new OncemqError('ONCEMQ_CLOSED', 'the consumer is closed'))
    this.#channel ??= this.#reopen()
    return this.#channel
  }

  async #reopen(): Promise<ConfirmChannel> {
    const gone = (): void => {
      if (this.#unconfirmed.size > 0) this.#carefully = ONE_AT_A_TIME
      this.#channel = undefined
      this.#opened = undefined
      this.#returned.clear()
      for (const reject of this.#unconfirmed) reject(new Error('the channel for copies is gone'))
      this.#unconfirmed.clear()
      this.onChannelGone()
    }
    try {
      const confirm = await inTime(this.#open(), {
        clock: this.#settings.clock,
        what: 'a channel for copies',
        late: closed,
      })
      listen(confirm.channel, gone, this.#returned)
      this.#opened = confirm
      return confirm
    } catch (error) {
      gone()
      throw error
    }
  }
}

function closed({ channel }: ConfirmChannel): Promise<void> {
  return closeChannel(channel)
}

function listen(channel: RawChannel, gone: () => void, returned: Set<string>): void {
  // What closed it rejects the call that waits; without a listener the process would end.
  channel.on('error', () => undefined)
  channel.on('close', gone)
  channel.on('return', ({ properties }: AmqpMessage) => {
    const id = properties.headers?.[COPY_HEADER]
    if (typeof id === 'string') returned.add(id)
  })
}
