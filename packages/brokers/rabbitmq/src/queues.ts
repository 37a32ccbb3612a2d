import type { Retry } from '@oncemq/core/broker'
import { isServerNamed, OWN_PREFIX, waitQueuePrefix } from './names.ts'

/** Why a message waited before it was delivered again, for people who look into the queue. */
export const RETRY_HEADER = `${OWN_PREFIX}retry`

/** The type of the queues in which messages wait for a retry: see `waitQueueType`. */
export type WaitQueueType = 'quorum' | 'classic'

/** A queue of ours beside the one that is consumed. */
export interface QueueDeclaration {
  readonly queue: string
  readonly options: object
  /** Whether a new one may not be relied on for a moment. */
  readonly settles: boolean
}

const STEP_FIRST_MS = 128
/**
 * A classic wait queue ends when it was unused for longer than its messages wait and a declaration counts.
 */
const UNUSED_MS = 60_000

/**
 * Where messages go that are not to be processed: a durable queue. AMQP does not tell a consumer whether its
 * queue has a dead-letter exchange, and a reject without one deletes the message.
 */
export function parkingDeclaration(
  queue: string,
  settings: {
    readonly parkingQueue: (queue: string) => string
    readonly parkingArguments: Readonly<Record<string, unknown>>
  },
): QueueDeclaration {
  const { parkingArguments } = settings
  const isPlain = Object.keys(parkingArguments).length === 0
  const options = isPlain ? { durable: true } : { durable: true, arguments: parkingArguments }
  return { queue: settings.parkingQueue(queue), options, settles: false }
}

/**
 * Where messages wait: a queue whose messages expire after the delay, and return from there through the
 * default exchange. One queue per delay, since a queue expires messages only at its head, and per type, so
 * that another type never meets an old queue.
 *
 * Quorum queues hand an expired message on at least once; classic ones may lose it if the broker dies just
 * then. Only classic ones end by themselves: declaring a quorum queue again does not put off its `x-expires`,
 * so that it would end in the middle of its work, with all that waits in it. A queue whose name the server
 * made up is gone sooner or later, so nothing that stays is declared for it.
 */
export function waitDeclaration(
  queue: string,
  waitMs: number,
  { waitQueueType }: { readonly waitQueueType: WaitQueueType },
): QueueDeclaration {
  const back = {
    'x-message-ttl': waitMs,
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': queue,
  }
  const name = `${waitQueuePrefix(queue)}${waitMs}`
  if (waitQueueType === 'classic' || isServerNamed(queue)) {
    // Said, as a virtual host may make another type by default.
    const ends = { 'x-queue-type': 'classic', 'x-expires': 2 * (waitMs + UNUSED_MS) }
    return {
      queue: `${name}.classic`,
      options: { durable: true, arguments: { ...back, ...ends } },
      settles: false,
    }
  }
  const safe = {
    'x-queue-type': 'quorum',
    'x-dead-letter-strategy': 'at-least-once',
    'x-overflow': 'reject-publish',
  }
  return { queue: name, options: { durable: true, arguments: { ...back, ...safe } }, settles: true }
}

/** Delays that follow from a lease's rest are rounded up to a power of two, so that few queues are needed. */
export function waitMsOf(delayMs: number, reason: Retry['reason']): number {
  if (reason === 'failed') return Math.max(1, delayMs)
  let stepMs = STEP_FIRST_MS
  while (stepMs < delayMs) stepMs *= 2
  return stepMs
}
