import type { Clock, RetryReason } from '@oncemq/core/broker'
import type { Copies } from './copies.ts'
import type { Delivery } from './delivery.ts'
import { EXCHANGE_HEADER, ROUTING_KEY_HEADER } from './parking.ts'

/** Why a message waited before it came again. */
export const RETRY_HEADER = 'x-oncemq-retry'

export type WaitQueueType = 'quorum' | 'classic'

interface Declared {
  readonly atMs: number
  /** Set while a new queue may not be relied on yet. */
  readonly settled: Promise<void> | undefined
}

const STEP_FIRST_MS = 128
/**
 * For how long a declaration counts: a classic wait queue ends only when it was unused for longer than this
 * and its delay.
 */
const DECLARED_FOR_MS = 60_000
/**
 * RabbitMQ may lose a quorum queue, with all that is in it, if it is killed within a second of its first
 * declaration.
 */
const SETTLE_MS = 1500

/**
 * Delayed retry through the broker: a copy goes to a queue whose messages expire after the delay, and back
 * from there through the default exchange. One queue per delay, since a queue expires messages only at its
 * head.
 *
 *   queue ──copy, confirmed──▶ queue.retry.<ms> ──expired──▶ queue        then the original is acked
 */
export class DelayedRetry {
  readonly #copies: Copies
  readonly #type: WaitQueueType
  readonly #clock: Clock
  readonly #declared = new Map<string, Declared>()

  constructor(copies: Copies, type: WaitQueueType, clock: Clock) {
    this.#copies = copies
    this.#type = type
    this.#clock = clock
  }

  /** Resolves when the broker has confirmed the copy; only then the original may be acked. */
  async send({ message, queue }: Delivery, delayMs: number, reason: RetryReason): Promise<void> {
    const waitMs = reason === 'failed' ? Math.max(1, delayMs) : stepOf(delayMs)
    const waitQueue = `${queue}.retry.${waitMs}`
    await this.#declare(waitQueue, queue, waitMs)
    const { headers } = message.properties
    await this.#copies.send(waitQueue, message, {
      [RETRY_HEADER]: reason,
      [EXCHANGE_HEADER]: headers?.[EXCHANGE_HEADER] ?? message.fields.exchange,
      [ROUTING_KEY_HEADER]: headers?.[ROUTING_KEY_HEADER] ?? message.fields.routingKey,
    })
  }

  async #declare(waitQueue: string, queue: string, waitMs: number): Promise<void> {
    const nowMs = this.#clock.monotonicMs()
    let declared = this.#declared.get(waitQueue)
    if (declared === undefined || nowMs - declared.atMs > DECLARED_FOR_MS) {
      const isFirst = declared === undefined
      this.#copies.forget(waitQueue)
      declared = {
        atMs: nowMs,
        settled: isFirst && this.#type === 'quorum' ? this.#pause(SETTLE_MS) : undefined,
      }
      this.#declared.set(waitQueue, declared)
    }
    await this.#copies.declare(waitQueue, waitQueueOptions(queue, waitMs, this.#type))
    await declared.settled
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.after(delayMs, resolve, 'background')
    })
  }
}

/**
 * Quorum queues hand an expired message on at least once; classic ones may lose it if the broker dies just
 * then. Only classic ones end by themselves: declaring a quorum queue again does not put off its `x-expires`,
 * so that it would end in the middle of its work, with all that waits in it.
 */
function waitQueueOptions(queue: string, waitMs: number, type: WaitQueueType): object {
  const back = {
    'x-message-ttl': waitMs,
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': queue,
  }
  if (type === 'classic') {
    // Said, as a virtual host may make another type by default.
    const ends = { 'x-queue-type': 'classic', 'x-expires': 2 * (waitMs + DECLARED_FOR_MS) }
    return { durable: true, arguments: { ...back, ...ends } }
  }
  const safe = {
    'x-queue-type': 'quorum',
    'x-dead-letter-strategy': 'at-least-once',
    'x-overflow': 'reject-publish',
  }
  return { durable: true, arguments: { ...back, ...safe } }
}

/** Rounds up to a power of two, so that delays that follow from a lease's rest need few queues. */
function stepOf(delayMs: number): number {
  let stepMs = STEP_FIRST_MS
  while (stepMs < delayMs) stepMs *= 2
  return stepMs
}
