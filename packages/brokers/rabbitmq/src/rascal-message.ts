import type { Deduplicator } from '@oncemq/core'
import { OncemqError } from '@oncemq/core'
import type { HeldMessage, Retry } from '@oncemq/core/broker'
import type { AmqpMessage } from './amqp.ts'
import { isThenable } from './amqp.ts'
import type { Arrival } from './arrival.ts'
import { readArrival, renewed } from './arrival.ts'
import { copyable, wholeOf } from './copyable.ts'
import type { AckOrNack, Recovery } from './rascal.ts'

/** Rascal's republishing deletes a message if it fails, so it is left for those that are near the limit. */
const RETURNS_MAX = 10

export interface RascalMessageOptions {
  readonly ackOrNack: AckOrNack
  readonly onDeadLetter: Recovery | Recovery[] | undefined
  readonly dedup: Pick<Deduplicator, 'settings' | 'warn'>
  /** `undefined` for a message that claims no provenance. */
  readonly secret: Uint8Array | undefined
}

/** A message that Rascal holds, which tells it once what becomes of it. */
export class RascalMessage implements HeldMessage<AmqpMessage> {
  message: AmqpMessage
  readonly source: string
  readonly hops: number
  readonly body: Uint8Array
  readonly startsBefore: number
  readonly returnsBefore: number
  /** A classic queue does not count, and hands on what a sender wrote; Rascal has no copy for a count. */
  readonly isUncounted: boolean
  readonly firstAtMs: number
  /** Rascal does not say when its channel is gone; it ignores what comes after. */
  readonly signal: AbortSignal = new AbortController().signal
  readonly #options: RascalMessageOptions
  readonly #arrival: Arrival
  #isSettled = false

  constructor(message: AmqpMessage, options: RascalMessageOptions) {
    const { dedup, secret } = options
    const queue = queueOf(message)
    const arrival = readArrival(message, { queue, clock: dedup.settings.clock, secret })
    this.message = arrival.given
    this.source = queue
    this.hops = arrival.hops
    this.body = arrival.content
    const republished = republishedBefore(message, queue)
    this.startsBefore = arrival.startsBefore + republished
    // What is worn out is republished too; and a sender may have written the header.
    this.returnsBefore = arrival.returnsBefore + republished
    this.isUncounted = arrival.redelivered
    this.firstAtMs = arrival.firstAtMs
    this.#arrival = arrival
    this.#options = options
  }

  renew(): void {
    this.message = renewed(this.#arrival)
  }

  whole(): Uint8Array {
    return wholeOf(this.#arrival)
  }

  /** Rascal throws at what the client cannot write, so that is left to the queue's own limit. */
  isWornOut(): boolean {
    const { returns = 0, properties } = this.#arrival
    return returns >= RETURNS_MAX && copyable(properties).unwritable.length === 0
  }

  /** Does nothing for a message that Rascal was to republish or to recover: it acks that by itself. */
  ack(): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.#options.ackOrNack()
  }

  giveBack(): void {
    const requeue = { strategy: 'nack', requeue: true }
    // On a channel that is gone it is delivered again anyway.
    this.#recover('oncemq gives the message back', requeue).catch(() => undefined)
  }

  /** Rascal has no way to wait that the broker does not count. */
  async retryLater({ reason }: Retry): Promise<void> {
    if (reason !== 'worn-out') throw new Error('the subscription has no wait queue of ours')
    await this.#recover('the message was returned too often', { strategy: 'republish' })
  }

  /** What Rascal does when its recovery fails is Rascal's: it is not tried again here. */
  async deadLetter(): Promise<'left-to-broker' | void> {
    const { dedup, onDeadLetter } = this.#options
    if (onDeadLetter === undefined) throw noRecovery()
    try {
      await this.#recover('oncemq dead-letters the message', onDeadLetter)
    } catch {
      dedup.warn('a message was not dead-lettered, since its recovery failed; see the broker of Rascal')
      return 'left-to-broker'
    }
  }

  /** Resolves when Rascal has recovered the message; rejects when it could not, or has not within a lease. */
  #recover(why: string, recovery: Recovery | Recovery[]): Promise<void> {
    const { ackOrNack, dedup } = this.#options
    const { clock, leaseMs } = dedup.settings
    this.#isSettled = true
    return new Promise((resolve, reject) => {
      const late = (): void => reject(new Error('Rascal has not answered'))
      const timer = clock.after(leaseMs, late, 'background')
      const told = (error?: unknown): void => {
        timer.cancel()
        if (error === undefined || error === null) resolve()
        else reject(error as Error)
      }
      // With `promisifyAckOrNack` it answers by a promise instead.
      const answer: unknown = ackOrNack(new Error(why), recovery, told)
      if (isThenable(answer)) answer.then(() => told(), told)
    })
  }
}

/** Rascal says it in a header of its own, which it sets on arrival. */
function queueOf({ fields, properties }: AmqpMessage): string {
  const rascal = properties.headers?.['rascal'] as { originalQueue?: unknown } | undefined
  return typeof rascal?.originalQueue === 'string' ? rascal.originalQueue : fields.routingKey
}

/** How often Rascal has republished it, mostly after a start, as it says in a header of its own. */
function republishedBefore({ properties }: AmqpMessage, queue: string): number {
  const rascal = properties.headers?.['rascal'] as { recovery?: unknown } | undefined
  const recovery = rascal?.recovery as Record<string, { republished?: unknown } | undefined> | undefined
  const republished = recovery?.[queue]?.republished
  return Number.isSafeInteger(republished) ? Math.max(0, republished as number) : 0
}

function noRecovery(): OncemqError {
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    'dedupListener: expected a recovery for messages that are not to be processed, received none; name a ' +
      "publication of yours: onDeadLetter: { strategy: 'forward', publication: 'dead_letters' }",
  )
}
