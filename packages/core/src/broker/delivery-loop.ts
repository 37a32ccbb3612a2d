import { setMaxListeners } from 'node:events'

import type { WaitingPlace } from '../claims/waiters.ts'
import type { Deduplicator } from '../deduplicator.ts'
import type { Delivery, HoldReason, ProcessOutcome, RetryReason, Settlement } from '../delivery/outcome.ts'
import type { SettlementPolicy } from '../delivery/settlement.ts'
import { settlementOf } from '../delivery/settlement.ts'
import { backoffMs, jittered } from '../time/backoff.ts'
import { Condition, pause } from '../time/condition.ts'
import { Semaphore } from '../time/semaphore.ts'
import { deadLetterOf } from './dead-letter.ts'
import type { HeldMessage } from './held-message.ts'
import type { KeyOf } from './key.ts'
import { readKey } from './key.ts'
import { MessageOrder } from './message-order.ts'

/** Between two tries of what a store or broker refuses: from a second to a minute. */
const REFUSED_BACKOFF = { firstMs: 1000, factor: 2, maxMs: 60_000 }
/** A message that waits for longer than this leaves half of the window to others. */
const LONG_WAIT_MS = 5000

export interface DeliveryLoopOptions<Message> {
  readonly dedup: Deduplicator<never>
  readonly key: KeyOf<Message>
  readonly policy: SettlementPolicy
  /** How many messages may be held unsettled at a time. */
  readonly window: number
  /** How many may be worked on at a time, of those that are held; those that wait are not worked on. */
  readonly concurrency: number
  /** For how long a message may be held unsettled, in milliseconds; `Infinity` where the broker sets no bound. */
  readonly holdMs: number
  /** Whether the payload is hashed whatever the deduplicator's option says, since results are replayed. */
  readonly fingerprint?: boolean
  /** Called when a message was held for as long as it may be, and nothing here can handle any. */
  readonly onHoldOver?: (reason: HoldReason | 'unsettled' | 'waited') => void
  /** Called when the deduplicator turns out to be closed: nobody here will handle anything any more. */
  readonly onClosed?: () => void
}

/**
 * Tries a held message once: `process` with a handler, or `claim` for a consumer that settles by itself.
 * `undefined` means that the user's code has the message now, and settles it.
 */
export type Attempt<Message> = (
  held: HeldMessage<Message>,
  delivery: Delivery,
) => Promise<ProcessOutcome | undefined>

/** `unsettled`: the broker takes no copy. */
type WaitReason = RetryReason | HoldReason | 'unsettled'

/** A message on its way through the loop. */
interface Passage<Message> {
  readonly held: HeldMessage<Message>
  readonly sinceMs: number
  starts: number
  /** Holds in a row, which wait ever longer. */
  holds: number
}

/**
 * The way of a held message to its settlement, the same for every broker and for both forms:
 *
 *   key read ──▶ in its order ──▶ attempt ──▶ outcome ──ack──▶ acked
 *                                   ▲          ├──dead-letter──▶ put aside, forgiven, acked
 *                                   │          ├──retry──▶ waits here, or goes to wait at the broker
 *                                   └──────────┴──hold──▶ waits here until the store answers
 *
 * What is to be tried again waits here, unsettled, for as long as the broker allows that and others have room:
 * this costs the broker nothing, and no copy can be refused. Nothing is returned at once.
 */
export class DeliveryLoop<Message> {
  readonly #options: DeliveryLoopOptions<Message>
  readonly #slots: Semaphore
  readonly #order = new MessageOrder()
  readonly #stopping = new AbortController()
  readonly #changed = new Condition()
  readonly #signals = new WeakMap<AbortSignal, AbortSignal>()
  readonly #told = new Set<string>()
  readonly #place: WaitingPlace
  #pausing = new AbortController()
  readonly #replaced = new Condition()
  #replacing = 0
  #held = 0
  #waiting = 0

  constructor(options: DeliveryLoopOptions<Message>) {
    this.#options = options
    this.#slots = new Semaphore(options.concurrency)
    this.#place = { enter: () => this.#enterPlace(), leave: () => this.#leavePlace() }
  }

  /** How many more messages may be held now. */
  get room(): number {
    return this.#stopping.signal.aborted ? 0 : this.#options.window - this.#held
  }

  /** Resolves when something has been settled. */
  async changed(signal?: AbortSignal): Promise<void> {
    await this.#changed.wait(this.#clock, Number.POSITIVE_INFINITY, signal)
  }

  /** Whether nothing is held. */
  get isEmpty(): boolean {
    return this.#held === 0
  }

  /** What is held and has not started is given back. Those that run go on. */
  stop(): void {
    this.#stopping.abort()
  }

  /** What waits is given back, and what is received meanwhile too. */
  pause(): void {
    this.#pausing.abort()
  }

  resume(): void {
    this.#pausing = new AbortController()
  }

  /** Takes a message to its settlement, or to the user's code. Never rejects. */
  async run(held: HeldMessage<Message>, attempt: Attempt<Message>): Promise<void> {
    this.#held += 1
    const key = readKey(this.#options.key, held.message)
    const passage = { held, sinceMs: this.#clock.monotonicMs(), starts: held.startsBefore, holds: 0 }
    const leaving = { signal: this.#pausing.signal, leave: () => this.#leave(held) }
    if (!(await this.#isReplaced(passage, key !== undefined))) {
      await this.#order.run(held.order, () => this.#pass(passage, key, attempt), leaving)
    }
    this.#held -= 1
    this.#changed.notifyAll()
  }

  /** A copy that the broker does not take is no reason not to handle the message. */
  async #isReplaced({ held, starts }: Passage<Message>, hasKey: boolean): Promise<boolean> {
    if (held.isWornOut?.(hasKey) !== true) return false
    this.#replacing += 1
    try {
      await held.retryLater({ delayMs: 0, reason: 'worn-out', starts })
      await held.ack()
      return true
    } catch (error) {
      this.#tellCopyFailed('retry', error)
      return false
    } finally {
      this.#replacing -= 1
      if (this.#replacing === 0) this.#replaced.notifyAll()
    }
  }

  /**
   * No handler starts between a copy and the ack of its original: one that ends the process, time and again,
   * would double all that is held with it, itself included, each time.
   */
  async #untilReplaced(signal: AbortSignal): Promise<void> {
    while (this.#replacing > 0 && !signal.aborted) {
      await this.#replaced.wait(this.#clock, Number.POSITIVE_INFINITY, signal)
    }
  }

  async #pass(passage: Passage<Message>, key: Delivery['key'], attempt: Attempt<Message>): Promise<void> {
    const { held } = passage
    const signal = this.#stopSignal(held.signal)
    for (;;) {
      if (this.#replacing > 0) await this.#untilReplaced(signal)
      if (!this.#slots.tryAcquire()) await this.#slots.acquire()
      if (this.#isOver(passage)) {
        this.#slots.release()
        return void (await this.#leave(held))
      }
      const { source, body } = held
      const holdMs = this.#leftMs(passage)
      const [place, startsBefore] = [this.#place, passage.starts]
      const { fingerprint } = this.#options
      const delivery = { key, source, body, signal, holdMs, startsBefore, fingerprint, place }
      const outcome = await attempt(held, delivery)
      this.#slots.release()
      if (outcome === undefined) return
      if ('attempt' in outcome) passage.starts = outcome.attempt
      if (!(await this.#goesOn(passage, outcome))) return
    }
  }

  /** Carries out a settlement. Answers whether the message is to be tried again here. */
  async #goesOn(passage: Passage<Message>, outcome: ProcessOutcome): Promise<boolean> {
    const { held } = passage
    const settlement = settlementOf(outcome, this.#options.policy)
    if (settlement.action !== 'hold') passage.holds = 0
    switch (settlement.action) {
      case 'ack':
        await held.ack()
        return false
      case 'dead-letter':
        await this.#deadLetter(passage, outcome)
        return false
      case 'give-back':
        await held.giveBack()
        this.#options.onClosed?.()
        return false
      case 'hold':
        return this.#hold(passage, settlement.reason, outcome)
      case 'retry':
        return this.#retry(passage, settlement)
    }
  }

  /** Kept until the store answers. A store that is up and fails each time is asked ever more slowly. */
  async #hold(passage: Passage<Message>, reason: HoldReason, outcome: ProcessOutcome): Promise<boolean> {
    const { dedup } = this.#options
    if (reason === 'store-refused' && 'error' in outcome) {
      this.#tellOnce(reason, `the store refuses; messages are held: ${(outcome.error as Error).message}`)
    }
    const { clock, random } = dedup.settings
    const delayMs = jittered(backoffMs(REFUSED_BACKOFF, passage.holds++), random)
    if (!(await this.#wait(passage, delayMs, reason))) return false
    const signal = AbortSignal.any([this.#stopSignal(passage.held.signal), this.#pausing.signal])
    const bound = new AbortController()
    const leftMs = this.#leftMs(passage)
    const timer = leftMs === Infinity ? undefined : clock.after(leftMs, () => bound.abort(), 'background')
    await dedup.available(AbortSignal.any([signal, bound.signal]))
    timer?.cancel()
    return this.#stillHeld(passage, reason)
  }

  async #retry(
    passage: Passage<Message>,
    { delayMs, reason }: Extract<Settlement, { action: 'retry' }>,
  ): Promise<boolean> {
    const { held, starts } = passage
    if (this.#isOver(passage)) return this.#leave(held)
    if (this.#mayWaitHere(passage, delayMs, reason)) return this.#wait(passage, delayMs, reason)
    try {
      await held.retryLater({ delayMs, reason, starts })
    } catch (error) {
      this.#tellCopyFailed('retry', error)
      return this.#wait(passage, delayMs, 'unsettled')
    }
    await held.ack()
    return false
  }

  #mayWaitHere({ held, ...passage }: Passage<Message>, delayMs: number, reason: RetryReason): boolean {
    if (held.order !== undefined) return true
    if (delayMs >= this.#leftMs(passage)) return false
    const { window } = this.#options
    const isLong = reason === 'busy' || delayMs > LONG_WAIT_MS
    return this.#waiting < (isLong ? Math.floor(window / 2) : window - 1)
  }

  /** Waits here, unsettled. Answers whether the message is to be tried again. */
  async #wait(passage: Passage<Message>, delayMs: number, reason: WaitReason): Promise<boolean> {
    const signal = AbortSignal.any([this.#stopSignal(passage.held.signal), this.#pausing.signal])
    this.#waiting += 1
    await pause(this.#clock, Math.min(delayMs, Math.max(0, this.#leftMs(passage))), signal)
    this.#waiting -= 1
    return this.#stillHeld(passage, reason)
  }

  async #stillHeld(passage: Passage<Message>, reason: WaitReason): Promise<boolean> {
    if (this.#isOver(passage)) return this.#leave(passage.held)
    if (this.#leftMs(passage) > 0) return true
    const isOurs = reason === 'store-down' || reason === 'store-refused' || reason === 'unsettled'
    this.#options.onHoldOver?.(isOurs ? reason : 'waited')
    return this.#leave(passage.held)
  }

  /** Until it is put aside nothing else becomes of it: its handler is not run again. */
  async #deadLetter(passage: Passage<Message>, outcome: ProcessOutcome): Promise<void> {
    const { dedup, policy } = this.#options
    const { held } = passage
    const settlement = settlementOf(outcome, policy)
    if (settlement.action !== 'dead-letter') return
    const times = { firstAtMs: held.firstAtMs, lastAtMs: this.#clock.nowMs() }
    const letter = deadLetterOf(settlement.reason, outcome, times)
    for (let failures = 0; ; failures += 1) {
      if (held.signal.aborted) return
      try {
        await held.deadLetter(letter)
        break
      } catch (error) {
        this.#tellCopyFailed('dead-letter', error)
        if (!(await this.#wait(passage, backoffMs(REFUSED_BACKOFF, failures), 'unsettled'))) return
      }
    }
    if ('forgive' in outcome) await outcome.forgive?.()
    dedup.deadLettered({ source: held.source, reason: letter.reason, attempt: letter.attempts })
    await held.ack()
  }

  /** Ends a message that cannot be settled here any more, or shall not be. Always answers false. */
  async #leave(held: HeldMessage<Message>): Promise<false> {
    if (!held.signal.aborted) await held.giveBack()
    return false
  }

  #isOver({ held }: Passage<Message>): boolean {
    return held.signal.aborted || this.#stopping.signal.aborted || this.#pausing.signal.aborted
  }

  #leftMs({ sinceMs }: Pick<Passage<Message>, 'sinceMs'>): number {
    return sinceMs + this.#options.holdMs - this.#clock.monotonicMs()
  }

  /** A bounded part of the window waits for busy keys, and has no slot meanwhile. */
  #enterPlace(): boolean {
    if (this.#waiting >= Math.floor(this.#options.window / 2)) return false
    this.#waiting += 1
    this.#slots.release()
    return true
  }

  #leavePlace(): Promise<void> {
    this.#waiting -= 1
    return this.#slots.acquire()
  }

  #tellCopyFailed(purpose: string, error: unknown): void {
    const what = error instanceof Error ? `${error.name}: ${error.message.slice(0, 200)}` : typeof error
    this.#tellOnce(
      purpose,
      `${purpose}: the broker takes no copy of a message (${what}); it is held, and tried again`,
    )
  }

  #tellOnce(topic: string, message: string): void {
    if (this.#told.has(topic)) return
    this.#told.add(topic)
    this.#options.dedup.warn(message)
  }

  /** One for all messages of a session: a signal remembers each that was ever made of it. */
  #stopSignal(signal: AbortSignal): AbortSignal {
    const known = this.#signals.get(signal)
    if (known !== undefined) return known
    const made = AbortSignal.any([signal, this.#stopping.signal])
    setMaxListeners(0, made)
    this.#signals.set(signal, made)
    return made
  }

  get #clock() {
    return this.#options.dedup.settings.clock
  }
}
