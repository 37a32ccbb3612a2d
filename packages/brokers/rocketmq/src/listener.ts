import type { DeadLetterReason } from '@oncemq/core/broker'
import type { Deduplicator, HandlerContext, ProcessOutcome } from '@oncemq/core'
import { settlementOf } from '@oncemq/core/broker'
import type { ConsumeResults, RocketmqMessage } from './client.ts'
import { messageGroupOf } from './client.ts'
import { hostResults } from './host.ts'
import { MessageGroups } from './message-groups.ts'
import { readKey } from './message.ts'
import type { DedupListenerOptions, MessageListener } from './options.ts'
import { Parking } from './parking.ts'
import type { DedupListenerSettings } from './settings.ts'
import { dedupListenerSettings, requireDeduplicator } from './settings.ts'
import { Slots } from './slots.ts'

/** How many messages that are not to be processed are remembered until the broker dead-letters them. */
const REFUSED_MAX = 10_000
/** Whoever is at a busy key may be done before its lease ends. */
const LOOK_AGAIN_MS = 1000

/**
 * Wraps the message listener of a PushConsumer, so that it is called once per message:
 *
 * - duplicates are answered SUCCESS without it;
 * - SUCCESS records the message as done; FAILURE, a throw, or any other answer frees its key;
 * - a message that is busy elsewhere, or has no answer from the store, waits here: FAILURE would cost one of
 *   the group's attempts;
 * - a FIFO message that fails is tried again in place, since the client dead-letters it at its first FAILURE;
 * - the listener works on `concurrency` messages at a time.
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
  readonly #settings: DedupListenerSettings
  readonly #results: ConsumeResults
  readonly #parking: Parking
  readonly #slots: Slots
  readonly #groups = new MessageGroups()
  readonly #refused = new Set<string>()

  constructor(
    listener: MessageListener<RocketmqMessage, Tx>,
    dedup: Deduplicator<Tx>,
    settings: DedupListenerSettings,
    results: ConsumeResults,
  ) {
    this.#listener = listener
    this.#dedup = dedup
    this.#settings = settings
    this.#results = results
    this.#parking = new Parking(settings, dedup)
    this.#slots = new Slots(settings.concurrency)
  }

  /** What the client calls. Never rejects. */
  async consume(message: RocketmqMessage): Promise<unknown> {
    const key = readKey(this.#settings.key, message)
    await this.#slots.enter()
    const isDone = await this.#groups.run(messageGroupOf(message), () => this.#isDone(message, key))
    this.#slots.leave()
    return isDone ? this.#results.SUCCESS : this.#results.FAILURE
  }

  async #isDone(message: RocketmqMessage, key: string | undefined): Promise<boolean> {
    const { clock } = this.#dedup.settings
    const endMs = clock.monotonicMs() + this.#settings.holdMs
    for (;;) {
      if (this.#refused.has(message.messageId)) return false
      const outcome = await this.#dedup.process({ key, body: message.body }, (context) =>
        this.#listen(message, context),
      )
      const answer = await this.#answer(message, outcome)
      if (typeof answer === 'boolean') return answer
      const leftMs = endMs - clock.monotonicMs()
      if (leftMs <= 0 && outcome.status !== 'failed') {
        this.#dedup.warn('a message waited too long in the listener: it is answered FAILURE, comes again')
        return false
      }
      await this.#pause(outcome.status === 'failed' ? answer : Math.min(answer, leftMs))
    }
  }

  /** The PushConsumer keeps the process alive for as long as it lives; we do not. */
  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#dedup.settings.clock.after(delayMs, resolve, 'background')
    })
  }

  async #listen(message: RocketmqMessage, context: HandlerContext<Tx>): Promise<void> {
    const answer: unknown = await this.#listener.consume(message, context)
    const { SUCCESS, FAILURE } = this.#results
    if (answer === SUCCESS) return
    if (answer !== FAILURE) {
      this.#dedup.warn(
        `a listener answered ${what(answer)}: expected SUCCESS or FAILURE of ConsumeResult, the client's ` +
          'own constants; it counts as FAILURE, and the message comes again',
      )
    }
    throw new Error('the listener answered FAILURE')
  }

  /** True for SUCCESS, false for FAILURE, a number for how long to wait here. */
  async #answer(message: RocketmqMessage, outcome: ProcessOutcome): Promise<boolean | number> {
    const { retry } = this.#settings
    const { onUnconfirmed } = this.#dedup.settings
    const settlement = settlementOf(outcome, { retry, onUnconfirmed })
    if (settlement.action === 'ack') return true
    if (settlement.action === 'dead-letter') return this.#deadLetter(message, settlement.reason)
    const isOrdered = messageGroupOf(message) !== undefined
    const isClosed = outcome.status === 'unavailable' && outcome.error.code === 'ONCEMQ_CLOSED'
    // A FIFO message would be dead-lettered at once: it waits, and comes again when this process has ended.
    if (!isOrdered && (settlement.reason === 'failed' || isClosed)) return false
    return settlement.reason === 'busy' ? Math.min(settlement.delayMs, LOOK_AGAIN_MS) : settlement.delayMs
  }

  /** Without a producer the broker's rules dead-letter it; until then the listener does not see it again. */
  async #deadLetter(message: RocketmqMessage, reason: DeadLetterReason): Promise<boolean> {
    if (this.#parking.canPark) return this.#parking.park(message, reason)
    if (this.#refused.size >= REFUSED_MAX) this.#refused.clear()
    this.#refused.add(message.messageId)
    return false
  }
}

/** A value for a message: never a payload. */
function what(answer: unknown): string {
  return answer === undefined || answer === null ? String(answer) : `a value of type ${typeof answer}`
}
