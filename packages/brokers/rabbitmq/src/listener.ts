import type { Deduplicator, ProcessOutcome } from '@oncemq/core'
import { isOncemqError, OncemqError } from '@oncemq/core'
import type { Attempt, Claim } from '@oncemq/core/broker'
import { backoffMs, copySecret, DeliveryLoop, requireDeduplicator, retryDefaults } from '@oncemq/core/broker'
import type { AmqpMessage } from './amqp.ts'
import { claimsProvenance } from './arrival.ts'
import type { DedupListenerOptions } from './options.ts'
import { RascalMessage } from './rascal-message.ts'
import type { AckOrNack, Next, Recovery } from './rascal.ts'
import { dedupListenerSettings } from './settings.ts'

/**
 * A listener of Rascal's subscriptions. It settles its message by `ackOrNack`; what it returns is not looked
 * at, and a throw requeues the message.
 */
export type Listener<Content> = (message: AmqpMessage, content: Content, ackOrNack: AckOrNack) => unknown

const WINDOW = 1000
/** Half of the broker's default time limit for acks. */
const HOLD_MS = 900_000

/**
 * Wraps a listener of Rascal's subscriptions, whose channels are not the user's to wrap. The listener is
 * called once per message; its `ackOrNack()` records the message as done and then acks, `ackOrNack(error,
 * ...)` frees its key first. Duplicates are acked without it; what is busy, or has no answer from the store,
 * is held for up to a quarter of an hour, and then requeued. A requeue or a republish without `defer` waits
 * first, 1 s, 2 s, 4 s ... up to a minute.
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
  const given = new GivenMessages()
  const receive = (held: RascalMessage, content: Content, ackOrNack: AckOrNack): void => {
    const attempt: Attempt<AmqpMessage> = async (_, delivery) => {
      const outcome = await dedup.claim(delivery)
      if (!('claim' in outcome)) return outcome
      const { claim } = outcome
      const again = (ended: ProcessOutcome): void => {
        held.renew()
        void loop.run(held, attempt, ended)
      }
      const settling = new Settling({ claim, ackOrNack, again, dedup })
      const settle = given.add(held.message, settling)
      call(() => listener(held.message, content, settle), settle)
      return undefined
    }
    void loop.run(held, attempt)
  }
  return function deduplicated(message, content, ackOrNack) {
    const deliver = (secret: Uint8Array | undefined): void =>
      receive(new RascalMessage(message, { ackOrNack, onDeadLetter, dedup, secret }), content, ackOrNack)
    if (claimsProvenance(message)) void copySecret(dedup as unknown as Deduplicator<never>).then(deliver)
    else deliver(undefined)
  }
}

interface SettlingOptions {
  readonly claim: Claim
  readonly ackOrNack: AckOrNack
  readonly again: (outcome: ProcessOutcome) => void
  readonly dedup: Deduplicator
}

/**
 * How one message ends that the listener was given. Rascal counts its arguments: they are passed on as such.
 */
class Settling {
  readonly #options: SettlingOptions

  constructor(options: SettlingOptions) {
    this.#options = options
  }

  end(args: Parameters<AckOrNack>): void {
    const { ackOrNack, claim } = this.#options
    const [error, recovery] = args
    if (isFailure(error)) return this.#failed(recovery, args)
    void claim.complete().then((status) => {
      if (status === 'completed') return void ackOrNack(...args)
      if (status === 'unconfirmed') return this.#options.again({ status, result: undefined })
      if (status === 'lost') return this.#options.again({ status })
      return this.#options.again({
        status,
        error: new OncemqError('ONCEMQ_CLOSED', 'closed before the store had answered'),
      })
    })
  }

  #failed(recovery: Recovery | Recovery[] | Next | undefined, args: Parameters<AckOrNack>): void {
    const { ackOrNack, claim, dedup } = this.#options
    const { attemptsMax, clock } = dedup.settings
    const recoveries = [recovery ?? []].flat()
    const returns = recoveries.some(comesAgain)
    const reason = claim.attempt >= attemptsMax ? 'spent' : 'failed'
    const first = recoveries[0]
    const isAtOnce = first !== undefined && comesAgain(first) && !hasDefer(first)
    // Else all attempts would be used up in the first moments of what the handler is waiting for.
    const delayMs = isAtOnce ? backoffMs(retryDefaults, claim.attempt - 1) : 0
    const settle = (): void => void ackOrNack(...args)
    void claim
      .release(returns ? reason : 'permanent')
      .then(() => (delayMs === 0 ? settle() : void clock.after(delayMs, settle, 'background')))
  }
}

/**
 * What listeners were given and have not settled. Rascal's option `all` means everything on the channel, also
 * what waits here for its key: it is carried out for what the listener was given, one by one.
 */
class GivenMessages {
  readonly #given = new Map<Settling, string | undefined>()

  add(message: AmqpMessage, settling: Settling): AckOrNack {
    const { consumerTag } = message.fields
    this.#given.set(settling, consumerTag)
    return (...args) => {
      if (!this.#given.has(settling)) return settling.end(args)
      const isAll = [args[1] ?? []].flat().some((each) => typeof each !== 'function' && each.all === true)
      if (!isAll) return this.#end(settling, args)
      const single = withoutAll(args)
      for (const [each, tag] of this.#given) if (tag === consumerTag) this.#end(each, single)
    }
  }

  #end(settling: Settling, args: Parameters<AckOrNack>): void {
    this.#given.delete(settling)
    settling.end(args)
  }
}

function withoutAll([error, recovery]: Parameters<AckOrNack>): Parameters<AckOrNack> {
  const single = [recovery ?? []]
    .flat()
    .filter((each) => typeof each !== 'function')
    .map((each) => ({ ...each, all: false }))
  return isFailure(error) ? [error as Error, single] : []
}

/** As Rascal takes its first argument: anything that is true, unless it is the callback. */
function isFailure(error: unknown): boolean {
  return Boolean(error) && typeof error !== 'function'
}

function comesAgain(recovery: Recovery | Next): boolean {
  return typeof recovery !== 'function' && (recovery.requeue === true || recovery.strategy === 'republish')
}

function hasDefer(recovery: Recovery | Next): boolean {
  return typeof recovery !== 'function' && recovery.defer !== undefined
}

/** A throw would end in an unhandled rejection here: the message is requeued instead, after a while. */
function call(listener: () => unknown, settle: AckOrNack): void {
  try {
    listener()
  } catch (thrown) {
    settle(errorOf(thrown), { strategy: 'nack', requeue: true })
  }
}

function errorOf(thrown: unknown): Error {
  return thrown instanceof Error || isOncemqError(thrown) ? thrown : new Error(String(thrown))
}
