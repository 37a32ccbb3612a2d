import type { OncemqError } from '../errors.ts'
import { isOncemqError } from '../errors.ts'
import type { EventHub } from '../observe/event-hub.ts'
import { backoffMs, jittered } from '../time/backoff.ts'
import type { Clock, Timer } from '../time/clock.ts'
import { Condition } from '../time/condition.ts'
import type { Random } from '../time/random.ts'

const PROBE_BACKOFF = { firstMs: 50, factor: 2, maxMs: 5000 }
/** A store that fails again within this time has not recovered: its waits go on growing. */
const STABLE_MS = 60_000

/** Whether `error` says that the store is up: it answered, if only that it will not or cannot just now. */
export function isAnswer({ code, retryable }: OncemqError): boolean {
  return !retryable || code === 'ONCEMQ_STORE_BUSY'
}

function isClosedStore(error: unknown): error is OncemqError {
  return isOncemqError(error) && error.code === 'ONCEMQ_CLOSED'
}

export interface OutageSettings {
  readonly clock: Clock
  readonly random: Random
  /** How long a call of the store may take. */
  readonly storeTimeoutMs: number
}

/**
 * Whether the store is up: a circuit breaker. After a failure one probe at a time asks it, with growing
 * waits, while everyone else waits here. A probe that succeeds is not believed at once: one delivery goes
 * first, with its real claim, and the others follow when that was answered. So a store that answers small
 * calls and fails at the work meets one caller every few seconds, not a herd.
 *
 *   up ──failed──▶ down ──probe fails──▶ down, after a longer wait
 *    ▲              │ ▲
 *    │              │ └──the first one fails──┐
 *    │              └──probe succeeds──▶ trial: one goes first
 *    └────────────answered, or nobody waits───┘
 */
export class Outage {
  readonly #probe: () => Promise<void>
  readonly #settings: OutageSettings
  readonly #events: EventHub
  readonly #recovery = new Condition()
  #error: OncemqError | undefined
  #isTrial = false
  /** Whether the next delivery that asks may, although the store is on trial. */
  #isPassFree = false
  #failures = 0
  #sinceMs = 0
  #recoveredMs = Number.NEGATIVE_INFINITY
  #timer: Timer | undefined
  #isClosed = false
  #changedAtMs: number | undefined

  constructor(probe: () => Promise<void>, settings: OutageSettings, events: EventHub) {
    this.#probe = probe
    this.#settings = settings
    this.#events = events
  }

  /** Why the store is down; `undefined` when it is up. */
  get error(): OncemqError | undefined {
    return this.#error
  }

  /** When it last went down or came back, in milliseconds since 1970. */
  get changedAtMs(): number | undefined {
    return this.#changedAtMs
  }

  /** How many wait for it. */
  get waiting(): number {
    return this.#recovery.size
  }

  /** Whether nothing recovers here any more: at close, or when the store turned out to be closed. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Says that the store failed at the work. The first failure starts the probing. */
  failed(error: OncemqError): void {
    const wasUp = this.#error === undefined
    this.#error = error
    // Somebody closed it by hand: that is no outage, and nobody here opens it again.
    if (isClosedStore(error)) return this.close()
    if (this.#isClosed || (!wasUp && !this.#isTrial)) return
    const { clock } = this.#settings
    this.#endTrial()
    if (wasUp) {
      if (clock.monotonicMs() - this.#recoveredMs > STABLE_MS) this.#failures = 0
      this.#sinceMs = clock.monotonicMs()
      this.#changedAtMs = clock.nowMs()
      this.#events.emit('outage', () => ({ error }))
    }
    this.#schedule()
  }

  /** Takes the right to ask the store: everyone has it while the store is up, and one at most on trial. */
  mayAsk(): boolean {
    if (this.#error === undefined) return true
    const may = this.#isPassFree
    this.#isPassFree = false
    return may
  }

  /** Says that the store answered the work, be it by a refusal. */
  succeeded(): void {
    if (this.#isTrial) this.#recovered()
  }

  /**
   * Resolves with true when the caller may ask the store, with false after `delayMs` or when `signal` aborts.
   * Without a bound it waits for as long as the outage lasts.
   */
  async recovery(delayMs = Number.POSITIVE_INFINITY, signal?: AbortSignal): Promise<boolean> {
    if (this.#error === undefined) return true
    if (this.#isClosed) return false
    return (await this.#recovery.wait(this.#settings.clock, delayMs, signal)) && !this.#isClosed
  }

  /** The same for one that does not ask by itself: on trial, the next delivery that comes may ask. */
  async available(signal?: AbortSignal): Promise<boolean> {
    const isUp = await this.recovery(undefined, signal)
    if (this.#isTrial && isUp) this.#isPassFree = true
    return isUp
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
    this.#recovery.notifyAll()
  }

  #schedule(): void {
    const { clock, random } = this.#settings
    const delayMs = jittered(backoffMs(PROBE_BACKOFF, this.#failures), random)
    this.#failures += 1
    this.#timer?.cancel()
    this.#timer = clock.after(delayMs, () => void this.#ask(), 'background')
  }

  async #ask(): Promise<void> {
    try {
      await this.#probe()
    } catch (error) {
      // Their failure is an event already.
      if (isClosedStore(error)) this.failed(error)
      else if (!this.#isClosed) this.#schedule()
      return
    }
    if (!this.#isClosed) this.#try()
  }

  #endTrial(): void {
    this.#isTrial = false
    this.#isPassFree = false
  }

  /** Whoever goes first may have left without asking the store: then the next one goes, after a while. */
  #try(): void {
    const { clock, storeTimeoutMs } = this.#settings
    this.#isTrial = true
    this.#isPassFree = false
    if (!this.#recovery.notifyOne()) return this.#recovered()
    this.#timer = clock.after(storeTimeoutMs * 2, () => this.#isTrial && this.#try(), 'background')
  }

  #recovered(): void {
    this.#timer?.cancel()
    this.#endTrial()
    this.#error = undefined
    const nowMs = this.#settings.clock.monotonicMs()
    this.#recoveredMs = nowMs
    this.#changedAtMs = this.#settings.clock.nowMs()
    this.#events.emit('recovered', () => ({ downMs: nowMs - this.#sinceMs }))
    this.#recovery.notifyAll()
  }
}
