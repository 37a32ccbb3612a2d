import { createHash } from 'node:crypto'
import { OncemqError } from '@oncemq/core'
import type { Clock } from '@oncemq/core/broker'
import { backoffMs, pause } from '@oncemq/core/broker'
import type { RawChannel } from '../amqp.ts'
import { answerOf } from '../amqp.ts'
import { closeChannel } from '../closing.ts'
import { declarable } from '../names.ts'

/** Between two looks whether the one that reads has gone. */
const TURN_BACKOFF = { firstMs: 500, factor: 2, maxMs: 5000 }
const ACCESS_REFUSED = 403
const NOT_FOUND = 404
const RESOURCE_LOCKED = 405
/** Of a SHA-256: enough for the groups of one queue. */
const HASH_DIGITS = 16

export interface ReaderTurnSettings {
  readonly queue: string
  readonly consumerGroup: string
  readonly clock: Clock
  /** Opens a channel on the connection that the stream is consumed on. */
  readonly openChannel: () => Promise<RawChannel>
  /** The turn is over: the channel, or the queue, has gone. */
  readonly onLost: () => void
}

/**
 * Whose turn it is to read a stream. A stream delivers to each consumer, and knows no single active one by
 * AMQP 0.9.1, so a queue that belongs to the reader's connection says it: the broker lets nobody else declare
 * it, and deletes it as soon as it takes that connection for dead, as it would give a partition away.
 */
export class ReaderTurn {
  readonly #settings: ReaderTurnSettings
  #channel: RawChannel | undefined
  #isOver = false

  constructor(settings: ReaderTurnSettings) {
    this.#settings = settings
  }

  /** Takes the turn unless another has it; answers whether it has. @throws what the client throws. */
  async take(): Promise<boolean> {
    const { openChannel, onLost } = this.#settings
    const channel = await openChannel()
    channel.on('error', () => undefined)
    const lost = (): void => {
      if (!this.#isOver && this.#channel === channel) onLost()
    }
    const isMine = await this.#ask(channel, lost).catch(async (error: unknown) => {
      await closeChannel(channel)
      throw error
    })
    if (!isMine || this.#isOver) {
      await closeChannel(channel)
      return false
    }
    this.#channel = channel
    channel.on('close', lost)
    return true
  }

  /** Resolves when the turn is taken; answers false when `signal` aborts before. */
  async wait(signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#settings
    for (let looks = 0; !signal.aborted; looks += 1) {
      if (!(await pause(clock, backoffMs(TURN_BACKOFF, looks), signal))) return false
      if (await this.take()) return true
    }
    return false
  }

  /** Lets another one read. Never rejects. */
  async release(): Promise<void> {
    this.#isOver = true
    if (this.#channel !== undefined) await closeChannel(this.#channel)
  }

  async #ask(channel: RawChannel, lost: () => void): Promise<boolean> {
    const { consumerGroup, queue } = this.#settings
    const name = turnQueue(queue, consumerGroup)
    const options = { exclusive: true, autoDelete: true, durable: false }
    try {
      await answerOf((done) => channel.assertQueue(name, options, done))
    } catch (error) {
      if (codeOf(error) === RESOURCE_LOCKED) return false
      throw codeOf(error) === ACCESS_REFUSED ? notDeclared(name, error) : error
    }
    try {
      // Another consumer of the same connection may have declared it.
      const received = (message: unknown): void => {
        if (message === null) lost()
      }
      await answerOf((done) => channel.consume(name, received, { exclusive: true }, done))
      return true
    } catch (error) {
      if (codeOf(error) === ACCESS_REFUSED || codeOf(error) === NOT_FOUND) return false
      throw error
    }
  }
}

/** The name of the queue of whoever reads a stream for a group, which may have any name. */
export function turnQueue(queue: string, consumerGroup: string): string {
  const hash = createHash('sha256').update(consumerGroup).digest('hex').slice(0, HASH_DIGITS)
  return `${declarable(queue)}.reader.${hash}`
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | undefined)?.code
}

function notDeclared(name: string, cause: unknown): OncemqError {
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    `consume: expected the right to declare and consume the queue '${name}', by which one worker at a time ` +
      'reads a stream, received a refusal; grant this user configure and read on it',
    { cause },
  )
}
