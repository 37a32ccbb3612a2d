import type { Charge, Order } from './order.ts'
import { makeOrders } from './order.ts'
import type { Fault, Told } from './watch.ts'

/** How many orders each worker begins with. */
const WAVE = 4

/** Of how many workers each dies by which fault; the last one lives. */
const FAULTS = ['crash', 'ack-lost', 'none'] as const

/** A worker that consumes. */
export interface Worker {
  /** Resolves when it has died, or was stopped. */
  readonly ended: Promise<void>
  /** Lets it end in good order. */
  stop(): Promise<void>
}

/** Where one way is played: a queue, workers, and what they did as it is seen from the outside. */
export interface Place {
  /** Sends an order, and resolves when the broker has it. `sending` tells the copies of one order apart. */
  send(order: Order, sending: string): Promise<void>
  startWorker(fault: Fault, tell: (told: Told) => void): Promise<Worker>
  charges(): Promise<readonly Charge[]>
}

export interface Outcome {
  readonly orders: number
  readonly deliveries: number
  /** Charges in all, and orders that have none, and those that have more than one. */
  readonly charges: number
  readonly lost: number
  readonly twice: number
  readonly cents: number
}

export function ordersOf(run: string): Order[] {
  return makeOrders(run, WAVE * FAULTS.length)
}

/**
 * The three causes of duplicates, the same for each way:
 *
 * 1. The producer sends each order, does not see that the broker has it, and sends it again.
 * 2. A worker dies after the effect, in the middle of handling: the broker delivers again what it held.
 * 3. A worker dies when it has handled a message, before its ack: the broker delivers again what was done.
 *
 * Answers when every copy of every order has been settled by a worker that lived to ack it.
 */
export async function play(place: Place, orders: readonly Order[], signal: AbortSignal): Promise<Outcome> {
  const settled = new Set<string>()
  const { promise: allSettled, resolve } = Promise.withResolvers<void>()
  let deliveries = 0
  const tell = (told: Told): void => {
    if (told.event === 'begun') deliveries += told.isFirst ? 1 : 0
    else if (settled.add(told.sending).size === 2 * orders.length) resolve()
  }
  for (const [index, kind] of FAULTS.entries()) {
    const wave = orders.slice(index * WAVE, (index + 1) * WAVE)
    const worker = await place.startWorker({ kind, order: wave.at(-1)?.id ?? '' }, tell)
    try {
      for (const order of wave) await sendTwice(place, order)
      const over = kind === 'none' ? Promise.race([allSettled, endedTooEarly(worker)]) : worker.ended
      await unlessAborted(over, signal)
    } finally {
      await worker.stop()
    }
  }
  return { deliveries, ...judged(orders, await place.charges()) }
}

/** The broker has the first one; its confirm is lost on the way, so the producer cannot know. */
async function sendTwice(place: Place, order: Order): Promise<void> {
  await place.send(order, `${order.id} first`)
  await place.send(order, `${order.id} again`)
}

function judged(orders: readonly Order[], charges: readonly Charge[]): Omit<Outcome, 'deliveries'> {
  const counts = orders.map(({ id }) => charges.filter(({ order }) => order === id).length)
  return {
    orders: orders.length,
    charges: charges.length,
    lost: counts.filter((count) => count === 0).length,
    twice: counts.filter((count) => count > 1).length,
    cents: charges.reduce((sum, { cents }) => sum + cents, 0),
  }
}

async function endedTooEarly({ ended }: Worker): Promise<never> {
  await ended
  throw new Error('expected the last worker to live, received its end')
}

function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>()
  const abort = (): void => reject(signal.reason as Error)
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort)
  return Promise.race([work, promise]).finally(() => signal.removeEventListener('abort', abort))
}
