import type { DeadLetter, HeldMessage, MessageSource, Receiver, Retry, Session } from '@oncemq/core/broker'
import type { Broker, BrokerWorld } from './broker.ts'
import type { Channel } from './channel.ts'
import type { Envelope, SimMessage } from './message.ts'
import { RETURNS_MANY } from './message.ts'
import type { ProcessClock } from './process-clock.ts'

const COPY_TIMEOUT_MS = 10_000
const DESTROY_MS = 5000
/** Each third return makes a copy; near the broker's limit each does. */
const RETURNS_STEP = 3
export const SOURCE = 'queue'

/** What a broken adapter does otherwise. */
export interface AdapterMutation {
  readonly held?: (sound: SimHeld, envelope: Envelope, channel: ChannelVerbs) => Partial<SimHeld>
  readonly session?: (sound: Session) => Partial<Session>
  /** Whether copies keep the header with their deaths. */
  readonly keepsDeaths?: boolean
  /** Whether a copy counts as sent before the broker has confirmed it. */
  readonly trustsUnconfirmed?: boolean
}

export type SimHeld = { -readonly [Name in keyof HeldMessage<SimMessage>]: HeldMessage<SimMessage>[Name] }

export interface ChannelVerbs {
  readonly ack: () => void
  readonly requeue: () => void
}

/** An adapter as one for a real broker is: it owns the wire, and the engine decides. */
export class SimSource implements MessageSource<SimMessage> {
  readonly #broker: Broker
  readonly #world: BrokerWorld
  readonly #clock: ProcessClock
  readonly #mutation: AdapterMutation
  readonly #onHeld: (held: SimHeld, channel: ChannelVerbs) => void
  #channel: Channel | undefined

  constructor(
    broker: Broker,
    world: BrokerWorld,
    clock: ProcessClock,
    mutation: AdapterMutation,
    onHeld: (held: SimHeld, channel: ChannelVerbs) => void,
  ) {
    this.#broker = broker
    this.#world = world
    this.#clock = clock
    this.#mutation = mutation
    this.#onHeld = onHeld
  }

  async open(receiver: Receiver<SimMessage>): Promise<Session> {
    const { dice, isFaulty, plan } = this.#world
    await this.#sleep(dice.integer(1, 20))
    const gone = new AbortController()
    const channel = this.#broker.connect(
      this,
      (tag, envelope) =>
        this.#clock.happen(() => receiver.received(this.#held(channel, tag, envelope, gone.signal))),
      () =>
        this.#clock.happen(() => {
          gone.abort()
          receiver.ended()
        }),
    )
    this.#channel = channel
    if (isFaulty() && dice.chance(plan.chances.stuck)) this.#stickLater(channel)
    await this.#request(channel, () => this.#broker.consume(channel))
    const sound = this.#session(channel, gone)
    return { ...sound, ...this.#mutation.session?.(sound) }
  }

  async close(): Promise<void> {}

  /** Its process has ended: what it had written by then still arrives. */
  killed(): void {
    const channel = this.#channel
    channel?.send(() => this.#broker.cut(channel))
    if (channel?.isStuck === true) this.#broker.cut(channel)
  }

  /** The network takes its connection away. */
  cut(): void {
    if (this.#channel !== undefined) this.#broker.cut(this.#channel)
  }

  #session(channel: Channel, gone: AbortController): Session {
    return {
      pause: () => this.#request(channel, () => this.#broker.cancel(channel)),
      resume: () => this.#request(channel, () => this.#broker.consume(channel)),
      stop: () => this.#request(channel, () => this.#broker.cancel(channel)).catch(() => undefined),
      close: async () => {
        // Who gets no answer to a close ends the connection.
        await Promise.race([this.#request(channel, () => undefined), this.#sleep(DESTROY_MS)]).catch(
          () => undefined,
        )
        gone.abort()
        this.#broker.cut(channel)
      },
    }
  }

  /** Answered when the broker has done it; rejected when the channel is gone; else never. */
  #request(channel: Channel, apply: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!channel.isOpen) return reject(new Error('simulated: the channel is gone'))
      channel.send(() => {
        apply()
        channel.tell(() => this.#clock.happen(resolve))
      })
    })
  }

  #held(channel: Channel, tag: number, envelope: Envelope, signal: AbortSignal): HeldMessage<SimMessage> {
    const { message, returns, firstAtMs } = envelope
    const startsBefore = envelope.starts + returns
    const returnsBefore = envelope.returnsTold + returns
    const verbs: ChannelVerbs = {
      ack: () => channel.send(() => this.#broker.ack(channel, tag)),
      requeue: () => channel.send(() => this.#broker.requeue(channel, tag)),
    }
    const sound: SimHeld = {
      message,
      source: SOURCE,
      body: new Uint8Array([message.number]),
      order: message.order,
      startsBefore,
      returnsBefore,
      firstAtMs,
      signal,
      ack: verbs.ack,
      giveBack: verbs.requeue,
      retryLater: (retry) => this.#retryLater(envelope, retry),
      deadLetter: (letter) => this.#deadLetter(message, letter),
    }
    // An ordered source cannot copy: its place would be lost.
    if (message.order === undefined) {
      sound.isUncopyable = message.isUnsendable
      sound.isWornOut = (hasRecord) => (!hasRecord && returns > 0) || isWornOut(envelope)
    }
    const held = { ...sound, ...this.#mutation.held?.(sound, envelope, verbs) }
    this.#onHeld(held, verbs)
    return held
  }

  #retryLater({ message, firstAtMs }: Envelope, { delayMs, starts, returns }: Retry): Promise<void> {
    if (message.isUnsendable) return Promise.reject(new Error('simulated: the headers are too large'))
    const hasDeath = this.#mutation.keepsDeaths === true
    return this.#confirmed((confirm) =>
      this.#broker.copy(message, { starts, returnsTold: returns, firstAtMs, delayMs, hasDeath }, confirm),
    )
  }

  #deadLetter(message: SimMessage, letter: DeadLetter): Promise<void> {
    return this.#confirmed((confirm) => this.#broker.park(message, letter, confirm))
  }

  /** On a connection of its own, which an alarm blocks, and whose confirms get lost. */
  #confirmed(publish: (confirm: () => void) => void): Promise<void> {
    const { clock, dice, isBrokerDown, isFaulty, plan } = this.#world
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(COPY_TIMEOUT_MS, () => reject(new Error('simulated: no confirm')))
      const settle = (end: () => void): void =>
        this.#clock.happen(() => {
          timer.cancel()
          end()
        })
      if (this.#mutation.trustsUnconfirmed === true) settle(resolve)
      if (this.#clock.state === 'dead') return
      clock.after(dice.integer(0, 5), () => {
        if (isBrokerDown()) return settle(() => reject(new Error('simulated: the broker is down')))
        if (this.#mutation.trustsUnconfirmed === true && isFaulty() && dice.chance(0.3)) return
        publish(() => {
          if (isFaulty() && dice.chance(plan.chances.confirmLost)) return
          clock.after(dice.integer(0, 5), () => settle(resolve))
        })
      })
    })
  }

  #stickLater(channel: Channel): void {
    const { clock, dice, plan } = this.#world
    clock.after(dice.integer(0, plan.faultsEndMs), () => (channel.isStuck = true))
    // The heartbeats of a stuck connection end too.
    clock.after(plan.faultsEndMs, () => channel.isStuck && this.#broker.cut(channel))
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(delayMs, resolve))
  }
}

function isWornOut({ message, returns }: Envelope): boolean {
  if (returns >= RETURNS_MANY) return true
  return returns > 0 && returns % RETURNS_STEP === 0 && !message.isUnsendable
}
