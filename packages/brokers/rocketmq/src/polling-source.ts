import type { Deduplicator } from '@oncemq/core'
import type { MessageSource, Receiver, Session } from '@oncemq/core/broker'
import { backoffMs, Condition, errorNameOf, pause } from '@oncemq/core/broker'
import type { RawConsumer, RocketmqMessage } from './client.ts'
import { hidden } from './hidden-message.ts'
import { ClientStart, healSettings, refuseOwnDeadLetters, stopClient } from './lifecycle.ts'
import { unpackBodies } from './packed-bodies.ts'
import type { Parking } from './parking.ts'

/** The most that the server answers at once. */
const RECEIVE_MAX = 32
const RECEIVE_BACKOFF = { firstMs: 100, factor: 2, maxMs: 5000 }
/** The client cannot end a long poll; what it still brings is given back. */
const POLL_END_MS = 2000
/** Below what the engine allows. */
const START_MS = 20_000

export interface PollingServices {
  readonly consumer: RawConsumer
  readonly dedup: Deduplicator<never>
  readonly parking: Parking
  readonly invisibleMs: number
}

/** The messages of a SimpleConsumer, which have to be asked for again and again. */
export class PollingSource implements MessageSource<RocketmqMessage> {
  readonly #services: PollingServices
  /** `undefined` for a client that somebody else has started. */
  readonly #start: ClientStart | undefined
  #isStarted = false

  /** @throws OncemqError for a group that would read its own dead letters. */
  constructor(services: PollingServices) {
    const { consumer, dedup } = services
    this.#services = services
    refuseOwnDeadLetters('consume', consumer)
    unpackBodies(consumer, (message) => dedup.warn(message))
    const isRunning = consumer.isRunning?.() !== false
    if (isRunning) healSettings(consumer)
    else this.#start = new ClientStart(consumer, dedup.settings.clock)
  }

  /**
   * Starts the client at first, if it is not started.
   * @throws OncemqError those of {@link startClient}.
   */
  async open(receiver: Receiver<RocketmqMessage>): Promise<Session> {
    if (!this.#isStarted) await this.#start?.attempt(START_MS)
    this.#isStarted = true
    return new Polling(this.#services, receiver)
  }

  async close(): Promise<void> {
    if (!this.#isStarted) return this.#start?.giveUp()
    // Out of time or without a server, it has let go of the client all the same.
    if (this.#start !== undefined) await stopClient(this.#services.consumer).catch(() => undefined)
  }
}

/** Asks for messages while there is room for them, until it is stopped. It does not end by itself. */
class Polling implements Session {
  readonly #services: PollingServices
  readonly #receiver: Receiver<RocketmqMessage>
  readonly #stopping = new AbortController()
  readonly #closing = new AbortController()
  readonly #resumed = new Condition()
  readonly #polled: Promise<void>
  #isPaused = false

  constructor(services: PollingServices, receiver: Receiver<RocketmqMessage>) {
    this.#services = services
    this.#receiver = receiver
    this.#polled = this.#poll()
  }

  async pause(): Promise<void> {
    this.#isPaused = true
  }

  async resume(): Promise<void> {
    this.#isPaused = false
    this.#resumed.notifyAll()
  }

  async stop(): Promise<void> {
    const { clock } = this.#services.dedup.settings
    this.#stopping.abort()
    const bound = new AbortController()
    await Promise.race([this.#polled, pause(clock, POLL_END_MS, bound.signal)])
    bound.abort()
  }

  async close(): Promise<void> {
    this.#stopping.abort()
    this.#closing.abort()
  }

  async #poll(): Promise<void> {
    const { dedup } = this.#services
    const { signal } = this.#stopping
    for (let failures = 0; !signal.aborted;) {
      await this.#mayReceive()
      if (signal.aborted) return
      try {
        await this.#receive()
        failures = 0
      } catch (error) {
        if (signal.aborted) return
        if (failures === 0) dedup.warn(`consume: nothing can be received (${whatOf(error)}); trying again`)
        await pause(dedup.settings.clock, backoffMs(RECEIVE_BACKOFF, failures++), signal)
      }
    }
  }

  async #mayReceive(): Promise<void> {
    const { clock } = this.#services.dedup.settings
    const { signal } = this.#stopping
    while (this.#isPaused && !signal.aborted)
      await this.#resumed.wait(clock, Number.POSITIVE_INFINITY, signal)
    if (!signal.aborted) await this.#receiver.hasRoom()
  }

  async #receive(): Promise<void> {
    const { consumer, dedup, parking, invisibleMs } = this.#services
    const max = Math.min(RECEIVE_MAX, Math.max(1, this.#receiver.room))
    const views = await consumer.receive(max, invisibleMs)
    const services = { consumer, dedup, parking, signal: this.#closing.signal }
    for (const message of await hidden(views, invisibleMs, services)) this.#receiver.received(message)
  }
}

const TEXT_MAX = 200

/** The server's own words name the remedy: an `awaitDuration` that is too short, a topic that is gone. */
function whatOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error
  return `${errorNameOf(error)}: ${error.message.split('\n', 1)[0]?.slice(0, TEXT_MAX)}`
}
