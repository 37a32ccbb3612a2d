import type { Delivery, HoldReason, ProcessOutcome, RetryReason, Settlement } from '../delivery/outcome.ts'
import { uncountable } from '../delivery/refusals.ts'
import { settlementOf } from '../delivery/settlement.ts'
import { backoffMs, jittered } from '../time/backoff.ts'
import type { Clock } from '../time/clock.ts'
import { Condition } from '../time/condition.ts'
import { JoinedSignals } from '../time/joined-signals.ts'
import { Semaphore } from '../time/semaphore.ts'
import { BusyKeys, LOOK_AGAIN_MS } from './busy-keys.ts'
import { CopiesInFlight } from './copies-in-flight.ts'
import { deadLetterOf } from './dead-letter.ts'
import type { DeadLetter, HeldMessage } from './held-message.ts'
import { readKey } from './key.ts'
import { type Attempt, checked, type DeliveryLoopOptions } from './loop-options.ts'
import { MessageOrder } from './message-order.ts'
import { attempted } from './not-started.ts'
import { countStart, deliveryOf, isWornOut, leftMs, type Passage, passageOf, toldOf } from './passage.ts'
import { WaitingRoom, type WaitWays } from './waiting-room.ts'
import { Warnings } from './warnings.ts'

/** Timers may end a little before their time. */
const TIMER_EARLY_MS = 5

/** Between two tries of what a store or broker refuses: from a second to a minute. */
const REFUSED_BACKOFF = { firstMs: 1000, factor: 2, maxMs: 60_000 }

/**
 * The way of a held message to its settlement, the same for every broker and for both forms:
 *
 *   key read ──▶ in its order ──▶ attempt ──▶ outcome ──ack──▶ acked
 *                                   ▲          ├──dead-letter──▶ put aside, forgiven, acked
 *                                   │          ├──retry──▶ waits here, or goes to wait at the broker
 *                                   └──────────┴──hold──▶ waits here until the store answers
 *
 * What is to be tried again waits here, unsettled, for as long as the broker allows and others have room.
 * This costs the broker nothing, and no copy can be refused. Nothing is returned at once.
 */
export class DeliveryLoop<Message> {
  readonly #options: DeliveryLoopOptions<Message>
  readonly #clock: Clock
  readonly #slots: Semaphore
  readonly #room: WaitingRoom
  readonly #order = new MessageOrder()
  readonly #stopping = new AbortController()
  readonly #changed = new Condition()
  readonly #signals = new JoinedSignals(this.#stopping.signal)
  readonly #warnings: Warnings
  readonly #usesRecords: boolean
  readonly #replacements: CopiesInFlight
  readonly #busyKeys: BusyKeys
  #held = 0
  /** Those that wait for the store. */
  #holding = 0
  /** Those that others of their order are before. */
  #queued = 0

  constructor(options: DeliveryLoopOptions<Message>) {
    this.#options = checked(options)
    this.#warnings = new Warnings(options.dedup)
    this.#usesRecords = options.dedup.settings.strategy.usesRecords
    this.#clock = options.dedup.settings.clock
    this.#replacements = new CopiesInFlight(this.#clock)
    this.#busyKeys = new BusyKeys(this.#clock)
    this.#slots = new Semaphore(options.concurrency)
    this.#room = new WaitingRoom(options.window, this.#clock, this.#slots, () => this.#changed.notifyAll())
  }

  /**
   * How many more messages are of use now: as many as can be worked on at once, since one that is held and
   * only lies here is kept from other consumers. Those that wait do not count, but for the window.
   */
  get room(): number {
    if (this.#stopping.signal.aborted) return 0
    const { concurrency, window } = this.#options
    return Math.max(0, Math.min(window - this.#held, concurrency - this.active - this.#room.linedUp))
  }

  /** How many are worked on, or could be: those that are held, and wait for nothing but a slot. */
  get active(): number {
    return this.#held - this.#room.waiting - this.#room.linedUp - this.#queued
  }

  /** Whether nothing new is started. */
  get isStopped(): boolean {
    return this.#stopping.signal.aborted
  }

  /** Whether a message is held for the store, so that further ones would have to be too. */
  get isHolding(): boolean {
    return this.#holding > 0
  }

  /** Whether nothing is held. */
  get isEmpty(): boolean {
    return this.#held === 0
  }

  /** Resolves when something has been settled, or has begun to wait. */
  async changed(signal?: AbortSignal): Promise<void> {
    await this.#changed.wait(this.#clock, Number.POSITIVE_INFINITY, signal)
  }

  /** What is held and has not started is given back. Those that run go on. */
  stop(): void {
    this.#stopping.abort()
  }

  /** What waits is given back, and what is received meanwhile too. */
  pause(): void {
    this.#room.close()
  }

  resume(): void {
    this.#room.open()
  }

  /** Somebody needs the places of those that wait here: they go to wait at the broker, until `relax`. */
  crowd(): void {
    this.#room.crowd()
  }

  relax(): void {
    this.#room.relax()
  }

  /**
   * Takes a message to its settlement, or to the user's code. With an `outcome`, one that the user's code has
   * had and ended so. Never rejects.
   */
  async run(held: HeldMessage<Message>, attempt: Attempt<Message>, outcome?: ProcessOutcome): Promise<void> {
    this.#held += 1
    const passage = passageOf(held, readKey(this.#options.key, held.message), this.#clock)
    if (outcome !== undefined || !(await this.#isReplaced(passage))) {
      this.#queued += 1
      const outOfTheQueue = (next: () => Promise<unknown>) => (passOn?: () => void) => {
        this.#queued -= 1
        passage.passOn = passOn
        return next()
      }
      const leaving = { signal: this.#room.closing, leave: outOfTheQueue(() => this.#leave(held)) }
      const passing = outOfTheQueue(() => this.#pass(passage, attempt, outcome))
      await this.#order.run(held.order, passing, leaving)
    }
    this.#busyKeys.gone(passage)
    this.#held -= 1
    this.#changed.notifyAll()
  }

  /** A copy that the broker does not take is no reason not to handle the message. */
  async #isReplaced(passage: Passage<Message>): Promise<boolean> {
    const { held, starts } = passage
    if (!isWornOut(passage, this.#usesRecords)) return false
    if (held.isUncopyable === true) return this.#deadLetter(passage, 'attempts', uncountable(starts))
    try {
      await this.#replacements.replace(
        () => held.retryLater({ delayMs: 0, reason: 'worn-out', ...toldOf(passage) }),
        () => held.ack(),
      )
    } catch (error) {
      this.#warnings.copyFailed('retry', error)
      return false
    }
    this.#options.onSentOn?.()
    return true
  }

  async #pass(
    passage: Passage<Message>,
    attempt: Attempt<Message>,
    ended: ProcessOutcome | undefined,
  ): Promise<void> {
    const { held } = passage
    if (ended !== undefined && !(await this.#goesOn(passage, ended))) return
    for (;;) {
      if (this.#replacements.isAny) await this.#replacements.landed(this.#signals.with(held.signal))
      if (!this.#slots.tryAcquire()) await this.#slots.acquire()
      if (this.#isOver(held)) {
        this.#slots.release()
        return void (await this.#leave(held))
      }
      const outcome = await attempted(attempt, held, this.#deliveryOf(passage), this.#options.dedup)
      this.#slots.release()
      if (outcome === undefined || !(await this.#goesOn(passage, outcome))) return
    }
  }

  #deliveryOf(passage: Passage<Message>): Delivery {
    const signal = this.#signals.with(passage.held.signal)
    const [holdMs, { place }, { fingerprint }] = [this.#leftMs(passage), this.#room, this.#options]
    const beforeStart = (): Promise<void> | undefined => this.#busyKeys.granted(passage)
    return deliveryOf(passage, { fingerprint, signal, holdMs, place, beforeStart })
  }

  /** Carries out a settlement. Answers whether the message is to be tried again here. */
  async #goesOn(passage: Passage<Message>, outcome: ProcessOutcome): Promise<boolean> {
    const { held } = passage
    const settlement = settlementOf(outcome, this.#options.policy)
    if ('attempt' in outcome) countStart(passage, outcome.attempt)
    if (settlement.action !== 'hold') passage.holds = 0
    if (outcome.status !== 'busy') this.#busyKeys.freed(passage)
    switch (settlement.action) {
      case 'ack':
        await held.ack()
        return false
      case 'dead-letter':
        this.#busyKeys.putAside(passage)
        await this.#deadLetter(passage, settlement.reason, outcome)
        this.#busyKeys.landed(passage)
        return false
      case 'give-back':
        await held.giveBack()
        this.#options.onClosed?.()
        return false
      case 'hold': {
        this.#holding += 1
        const goesOn = await this.#hold(passage, settlement, outcome)
        this.#holding -= 1
        return goesOn
      }
      case 'retry':
        return this.#retry(passage, settlement)
    }
  }

  /** Kept until the store answers. A store that is up and fails each time is asked ever more slowly. */
  async #hold(
    passage: Passage<Message>,
    { reason }: Extract<Settlement, { action: 'hold' }>,
    outcome: ProcessOutcome,
  ): Promise<boolean> {
    const { dedup } = this.#options
    if (reason === 'store-refused' && 'error' in outcome) this.#warnings.storeRefuses(outcome.error)
    const delayMs = jittered(backoffMs(REFUSED_BACKOFF, passage.holds++), dedup.settings.random)
    if (!(await this.#wait(passage, delayMs, reason))) return false
    const bound = new AbortController()
    const leftMs = this.#leftMs(passage)
    const isBound = Number.isFinite(leftMs)
    const timer = isBound ? this.#clock.after(leftMs, () => bound.abort(), 'background') : undefined
    const signal = this.#signals.with(passage.held.signal)
    await dedup.available(AbortSignal.any([signal, this.#room.closing, bound.signal]))
    timer?.cancel()
    return this.#stillHeld(passage, reason)
  }

  async #retry(
    passage: Passage<Message>,
    { delayMs, reason }: Extract<Settlement, { action: 'retry' }>,
  ): Promise<boolean> {
    const { held } = passage
    if (this.#isOver(held)) return this.#leave(held)
    const isBusy = reason === 'busy'
    const ending = isBusy ? this.#busyKeys.found(passage).ending : undefined
    const staysShort = delayMs < this.#leftMs(passage) && this.#room.hasPlace(delayMs, isBusy)
    if (held.order !== undefined || staysShort) {
      const waitMs = isBusy ? Math.min(delayMs, LOOK_AGAIN_MS) : delayMs
      const untilMs = this.#clock.monotonicMs() + waitMs - TIMER_EARLY_MS
      const isHeld = await this.#wait(passage, waitMs, 'waited', {
        mayLeave: held.order === undefined,
        ending,
      })
      if (!isHeld || ending?.aborted === true || this.#clock.monotonicMs() >= untilMs) return isHeld
    }
    const { staysMs } = isBusy ? this.#busyKeys.found(passage) : { staysMs: 0 }
    if (staysMs > 0 && staysMs < this.#leftMs(passage)) return this.#wait(passage, staysMs, 'waited')
    const signal = this.#signals.with(held.signal)
    if (isBusy && !(await this.#busyKeys.departs(passage, signal))) return this.#stillHeld(passage, 'waited')
    return this.#sendToWait(passage, delayMs, reason)
  }

  /** Sends a message to wait at the broker. */
  async #sendToWait(passage: Passage<Message>, delayMs: number, reason: RetryReason): Promise<boolean> {
    const { held } = passage
    try {
      // The whole delay again, as the broker may need a queue for each.
      await held.retryLater({ delayMs: Math.max(1, Math.ceil(delayMs)), reason, ...toldOf(passage) })
    } catch (error) {
      this.#busyKeys.landed(passage)
      this.#warnings.copyFailed('retry', error)
      return this.#wait(passage, delayMs, 'unsettled')
    }
    this.#options.onSentOn?.()
    await held.ack()
    this.#busyKeys.landed(passage)
    return false
  }

  /** Until it is put aside nothing else becomes of it: its handler is not run again. Answers true. */
  async #deadLetter(
    passage: Passage<Message>,
    reason: DeadLetter['reason'],
    outcome: ProcessOutcome,
  ): Promise<true> {
    const { dedup } = this.#options
    const { held } = passage
    const letter = deadLetterOf(reason, outcome, { firstAtMs: held.firstAtMs, lastAtMs: this.#clock.nowMs() })
    let isDurable = true
    for (let failures = 0; ; failures += 1) {
      if (held.signal.aborted) return true
      try {
        isDurable = (await held.deadLetter(letter)) !== 'left-to-broker'
        break
      } catch (error) {
        this.#warnings.copyFailed('dead-letter', error)
        if (!(await this.#wait(passage, backoffMs(REFUSED_BACKOFF, failures), 'unsettled'))) return true
      }
    }
    this.#options.onSentOn?.()
    if (isDurable && 'forgive' in outcome) await outcome.forgive?.()
    this.#busyKeys.ended(passage)
    dedup.deadLettered({ source: held.source, reason, attempt: letter.attempts, errorName: letter.errorName })
    await held.ack()
    return true
  }

  /** Waits here, unsettled. Answers whether the message is still held, and may be. */
  async #wait(
    passage: Passage<Message>,
    delayMs: number,
    reason: HoldReason | 'unsettled' | 'waited',
    ways: WaitWays = {},
  ): Promise<boolean> {
    const signal = this.#signals.with(passage.held.signal)
    await this.#room.wait(Math.min(delayMs, Math.max(0, this.#leftMs(passage))), signal, ways)
    return this.#stillHeld(passage, reason)
  }

  async #stillHeld(passage: Passage<Message>, reason: HoldReason | 'unsettled' | 'waited'): Promise<boolean> {
    if (this.#isOver(passage.held)) return this.#leave(passage.held)
    if (this.#leftMs(passage) > 0) return true
    const { held } = passage
    if (reason !== 'unsettled' || held.isWornOut === undefined || isWornOut(passage, this.#usesRecords)) {
      this.#options.onHoldOver?.(reason)
    }
    return this.#leave(held)
  }

  /** Ends a message that cannot be settled here any more, or shall not be. Always answers false. */
  async #leave(held: HeldMessage<Message>): Promise<false> {
    if (!held.signal.aborted) await held.giveBack()
    return false
  }

  #isOver({ signal }: HeldMessage<Message>): boolean {
    return signal.aborted || this.#stopping.signal.aborted || this.#room.isClosed
  }

  #leftMs(passage: Passage<Message>): number {
    return leftMs(passage, this.#options.holdMs, this.#clock)
  }
}
