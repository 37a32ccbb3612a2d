import type { Deduplicator, HandlerContext } from '@oncemq/core'
import type { Attempt, HeldMessage } from '@oncemq/core/broker'
import { DeliveryLoop, processing, requireDeduplicator } from '@oncemq/core/broker'
import type { ConsumeResults, RocketmqMessage } from './client.ts'
import { hostResults } from './host.ts'
import { ListenedMessage } from './listened-message.ts'
import type { DedupListenerOptions, MessageListener } from './options.ts'
import { arrivalOf } from './parked-copy.ts'
import { Parking } from './parking.ts'
import type { DedupListenerSettings } from './settings.ts'
import { dedupListenerSettings } from './settings.ts'

/** How many messages that are left to the broker are remembered until it dead-letters them. */
const LEFT_MAX = 10_000
/** As many messages as the client hands out at a time, by its own default. */
const WINDOW = 1024

/**
 * Wraps the message listener of a PushConsumer, so that it is called once per message:
 *
 * - duplicates are answered SUCCESS without it;
 * - SUCCESS records the message as done; after FAILURE, a throw, or any other answer it is tried again here;
 * - a message that is tried again, is busy elsewhere, or has no answer from the store, waits here: FAILURE
 *   would cost one of the group's attempts, and the client dead-letters a FIFO message at its first;
 * - the listener works on `concurrency` messages at a time; those that wait do not count.
 *
 * @throws OptionError for an option that is wrong; OncemqError `ONCEMQ_CONSUMER_UNSAFE` without the client.
 * @example
 * new PushConsumer({ ...options, messageListener: dedupListener(listener, dedup) })
 */
export function dedupListener<Message = RocketmqMessage, Tx = undefined>(
  listener: MessageListener<Message, Tx>,
  dedup: Deduplicator<Tx>,
  options: DedupListenerOptions = {},
  // The host's own ConsumeResult, whose type is not named here; see client.ts.
): { consume(message: Message): Promise<never> } {
  requireDeduplicator('dedupListener', dedup)
  const settings = dedupListenerSettings(listener, options)
  const results = settings.results ?? hostResults()
  const deduplicated = new DeduplicatedListener(
    listener as unknown as MessageListener<RocketmqMessage, Tx>,
    dedup,
    settings,
    results,
  )
  return {
    consume: (message) => deduplicated.consume(message as RocketmqMessage) as Promise<never>,
  }
}

class DeduplicatedListener<Tx> {
  readonly #listener: MessageListener<RocketmqMessage, Tx>
  readonly #dedup: Deduplicator<Tx>
  readonly #results: ConsumeResults
  readonly #parking: Parking
  readonly #process: Attempt<RocketmqMessage>
  readonly #loop: DeliveryLoop<RocketmqMessage>
  /** By id, with the delivery attempt at which they were left. */
  readonly #leftToBroker = new Map<string, number>()

  constructor(
    listener: MessageListener<RocketmqMessage, Tx>,
    dedup: Deduplicator<Tx>,
    { concurrency, key, retry, ...settings }: DedupListenerSettings,
    results: ConsumeResults,
  ) {
    this.#listener = listener
    this.#dedup = dedup
    this.#results = results
    this.#parking = new Parking(settings, this.#anyDedup)
    this.#process = processing({
      dedup,
      handler: (held, context) => this.#listen(held, context),
      middlewares: [],
    })
    this.#loop = new DeliveryLoop({
      dedup: this.#anyDedup,
      key,
      policy: { retry, onUnconfirmed: dedup.settings.onUnconfirmed },
      window: WINDOW,
      concurrency,
      // The server renews what the listener has not answered.
      holdMs: Number.POSITIVE_INFINITY,
      onClosed: once(() => {
        const message = 'the deduplicator was closed before its PushConsumer; no message is handled any more'
        dedup.warn(`dedupListener: ${message}`)
      }),
    })
  }

  /** What the client calls. Never rejects. */
  async consume(view: RocketmqMessage): Promise<unknown> {
    const { SUCCESS, FAILURE } = this.#results
    if (this.#isLeftToBroker(view)) return FAILURE
    const arrival = await arrivalOf(view, this.#anyDedup)
    const held = new ListenedMessage(arrival, this.#parking, this.#dedup.settings.clock)
    void this.#loop.run(held, this.#process)
    const isDone = await held.answer
    if (held.isLeftToBroker) this.#leave(view)
    return isDone ? SUCCESS : FAILURE
  }

  async #listen(held: HeldMessage<RocketmqMessage>, context: HandlerContext<Tx>): Promise<undefined> {
    const { SUCCESS, FAILURE } = this.#results
    const answer = await this.#listener.consume(held.message, context)
    if (answer === SUCCESS) return undefined
    if (answer !== FAILURE) {
      this.#dedup.warn(
        `a listener answered ${what(answer)}: expected SUCCESS or FAILURE of ConsumeResult, the client's ` +
          'own constants; it counts as FAILURE, and the message is tried again',
      )
    }
    throw new Error('the listener answered FAILURE')
  }

  /** Whether it is delivered again before the broker has dead-lettered it; a replay begins with attempt 1. */
  #isLeftToBroker({ messageId, deliveryAttempt = 1 }: RocketmqMessage): boolean {
    const leftAtAttempt = this.#leftToBroker.get(messageId)
    if (leftAtAttempt === undefined || deliveryAttempt > leftAtAttempt) return leftAtAttempt !== undefined
    this.#leftToBroker.delete(messageId)
    return false
  }

  #leave({ messageId, deliveryAttempt = 1 }: RocketmqMessage): void {
    if (this.#leftToBroker.size >= LEFT_MAX) this.#leftToBroker.clear()
    this.#leftToBroker.set(messageId, deliveryAttempt)
  }

  get #anyDedup(): Deduplicator<never> {
    return this.#dedup as unknown as Deduplicator<never>
  }
}

function once(action: () => void): () => void {
  let isDone = false
  return () => {
    if (!isDone) action()
    isDone = true
  }
}

/** A value for a message: never a payload. */
function what(answer: unknown): string {
  return answer === undefined || answer === null ? String(answer) : `a value of type ${typeof answer}`
}
