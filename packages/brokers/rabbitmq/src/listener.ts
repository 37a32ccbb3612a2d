import type { Deduplicator, ProcessOutcome } from '@oncemq/core'
import { isOncemqError, OncemqError } from '@oncemq/core'
import type { Claim, HeldMessage, Retry } from '@oncemq/core/broker'
import { DeliveryLoop, retryDefaults } from '@oncemq/core/broker'
import type { AmqpMessage } from './amqp.ts'
import { readArrival } from './arrival.ts'
import type { DedupListenerOptions } from './options.ts'
import type { AckOrNack, Next, Recovery } from './rascal.ts'
import { dedupListenerSettings, requireDeduplicator } from './settings.ts'

export type Listener<Content> = (message: AmqpMessage, content: Content, ackOrNack: AckOrNack) => unknown

const WINDOW = 1000
/** Half of the broker's default time limit for acks. */
const HOLD_MS = 900_000
/** Rascal's republishing deletes a message if it fails, so it is left for those that are near the limit. */
const RETURNS_MAX = 10

/**
 * Wraps a listener of Rascal's subscriptions, whose channels are not the user's to wrap. The listener is
 * called once per message; its `ackOrNack()` records the message as done and then acks, `ackOrNack(error,
 * ...)` frees its key first. Duplicates are acked without it; what is busy, or has no answer from the store,
 * is held for up to a quarter of an hour, and then requeued.
 *
 * @throws OptionError for an option that is wrong; OncemqError with a strategy whose handler must return.
 * @example
 * subscription.on('message', dedupListener((message, content, ackOrNack) => {
 *   charge(content).then(() => ackOrNack(), ackOrNack)
 * }, dedup))
 */
export function dedupListener<Content = unknown>(
  listener: Listener<Content>,
  dedup: Deduplicator,
  options: DedupListenerOptions = {},
): (message: AmqpMessage, content: Content, ackOrNack: AckOrNack) => void {
  requireDeduplicator('dedupListener', dedup)
  const { key, onDeadLetter } = dedupListenerSettings(listener, dedup, options)
  const loop = new DeliveryLoop<AmqpMessage>({
    dedup: dedup as unknown as Deduplicator<never>,
    key,
    policy: { retry: retryDefaults, onUnconfirmed: dedup.settings.onUnconfirmed },
    window: WINDOW,
    concurrency: Number.POSITIVE_INFINITY,
    holdMs: HOLD_MS,
  })
  return function deduplicated(message, content, ackOrNack) {
    const held = new RascalMessage(message, ackOrNack, onDeadLetter, dedup)
    const attempt = async (
      _: HeldMessage<AmqpMessage>,
      delivery: Parameters<Deduplicator['claim']>[0],
    ): Promise<ProcessOutcome | undefined> => {
      const outcome = await dedup.claim(delivery)
      if (outcome.status !== 'granted' && outcome.status !== 'unprotected') return outcome
      const again = (ended: ProcessOutcome): void => void loop.run(held, attempt, ended)
      const settle = outcome.status === 'granted' ? settling(outcome.claim, ackOrNack, again) : ackOrNack
      call(() => listener(held.message, content, settle), settle)
      return undefined
    }
    void loop.run(held, attempt)
  }
}

/** A message that Rascal holds, which tells it once what becomes of it. */
class RascalMessage implements HeldMessage<AmqpMessage> {
  readonly message: AmqpMessage
  readonly source: string
  readonly body: Uint8Array
  readonly startsBefore: number
  readonly firstAtMs: number
  /** Rascal does not say when its channel is gone; it ignores what comes after. */
  readonly signal = new AbortController().signal
  readonly #ackOrNack: AckOrNack
  readonly #onDeadLetter: Recovery | Recovery[] | undefined
  readonly #returns: number

  constructor(
    message: AmqpMessage,
    ackOrNack: AckOrNack,
    onDeadLetter: Recovery | Recovery[] | undefined,
    { settings }: Pick<Deduplicator, 'settings'>,
  ) {
    const queue = queueOf(message)
    const arrival = readArrival(message, { queue, clock: settings.clock, secret: undefined })
    this.message = arrival.given
    this.source = queue
    this.body = arrival.content
    this.startsBefore = arrival.startsBefore
    this.firstAtMs = arrival.firstAtMs
    this.#returns = arrival.returns ?? 0
    this.#ackOrNack = ackOrNack
    this.#onDeadLetter = onDeadLetter
  }

  isWornOut(): boolean {
    return this.#returns >= RETURNS_MAX
  }

  ack(): void {
    this.#ackOrNack()
  }

  giveBack(): void {
    this.#ackOrNack(new Error('oncemq gives the message back'), { strategy: 'nack', requeue: true })
  }

  /** Rascal has no way to wait that the broker does not count. */
  async retryLater({ reason }: Retry): Promise<void> {
    if (reason !== 'worn-out') throw new Error('the subscription has no wait queue of ours')
    this.#ackOrNack(new Error('the message was returned too often'), { strategy: 'republish' })
  }

  async deadLetter(): Promise<void> {
    if (this.#onDeadLetter === undefined) throw noRecovery()
    this.#ackOrNack(new Error('oncemq dead-letters the message'), this.#onDeadLetter)
  }
}

/** Rascal says it in a header of its own, which it sets on arrival. */
function queueOf({ fields, properties }: AmqpMessage): string {
  const rascal = properties.headers?.['rascal'] as { originalQueue?: unknown } | undefined
  return typeof rascal?.originalQueue === 'string' ? rascal.originalQueue : fields.routingKey
}

/** A throw would end in an unhandled rejection here: the message is requeued instead, after a while. */
function call(listener: () => unknown, settle: AckOrNack): void {
  try {
    listener()
  } catch (thrown) {
    settle(errorOf(thrown), { strategy: 'nack', defer: 1000, requeue: true })
  }
}

/** Rascal counts its arguments, so they are passed on as they came. */
function settling(claim: Claim, ackOrNack: AckOrNack, again: (outcome: ProcessOutcome) => void): AckOrNack {
  return function settle(...args) {
    const [error, recovery] = args
    if (error instanceof Object && typeof error !== 'function') {
      const reason = [recovery ?? []].flat().some(isRetry) ? 'failed' : 'permanent'
      void claim.release(reason).then(() => ackOrNack(...args))
      return
    }
    void claim.complete().then((status) => {
      if (status === 'completed') return ackOrNack(...args)
      if (status === 'unconfirmed') return again({ status, result: undefined })
      if (status === 'lost') return again({ status })
      return again({
        status,
        error: new OncemqError('ONCEMQ_CLOSED', 'closed before the store had answered'),
      })
    })
  }
}

function isRetry(recovery: Recovery | Next): boolean {
  return typeof recovery !== 'function' && (recovery.requeue === true || recovery.strategy === 'republish')
}

function errorOf(thrown: unknown): Error {
  return thrown instanceof Error || isOncemqError(thrown) ? thrown : new Error(String(thrown))
}

function noRecovery(): OncemqError {
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    'dedupListener: expected a recovery for messages that are not to be processed, received none; name a ' +
      "publication of yours: onDeadLetter: { strategy: 'forward', publication: 'dead_letters' }",
  )
}
