import type { AdvanceUpdate, UpdateAnswer } from '../../store/contract.ts'
import type { LogTaken, LogUpdate } from '../../store/log-contract.ts'

/** The store's steps for one log. Each rejects with an OncemqError. */
export interface LogSteps {
  take(): Promise<LogTaken>
  update(update: LogUpdate): Promise<UpdateAnswer>
}

/**
 * A log that the broker has given to this consumer, as its row in the store stood when it was taken, and as
 * it was moved since. Its records are handled one after the other, so that one number says which of them are
 * done.
 *
 * Who runs a record that ends its process leaves the log held. Whoever takes it counts the starts of the
 * record that it finds first, before each of them, until one record is done: so that message is given up in
 * the end, and no other one costs a write. What may have been started and not counted, once, counts as a
 * start.
 */
export class TakenLog {
  readonly id: string
  readonly #steps: LogSteps
  readonly #row: LogTaken
  readonly #lost = new AbortController()
  #next: bigint | undefined
  /** Whether a record that was started and did not end may be what ended the process that had the log. */
  #isSuspect: boolean
  /** Whether no record was handed over since the log was taken. */
  #isFresh = true
  #isLost = false
  #isRunning = false
  /** The record of which a start was counted, that may be taken back. */
  #counted: bigint | undefined
  #passing: Promise<boolean> | undefined

  private constructor(id: string, steps: LogSteps, row: LogTaken) {
    this.id = id
    this.#steps = steps
    this.#row = row
    this.#next = row.next
    this.#isSuspect = row.wasHeld || (row.started !== undefined && row.started >= (row.next ?? 0n))
  }

  /** @throws OncemqError while the store does not answer. */
  static async take(id: string, steps: LogSteps): Promise<TakenLog> {
    return new TakenLog(id, steps, await steps.take())
  }

  /** The offset after the last record that took effect, where to go on; `undefined` while there is none. */
  get next(): bigint | undefined {
    return this.#next
  }

  get epoch(): number {
    return this.#row.epoch
  }

  /**
   * Aborts when the row turns out to be another worker's, or not to be as it was left here. Whoever still has
   * the log of the broker takes it anew then, and goes on where the row says.
   */
  get signal(): AbortSignal {
    return this.#lost.signal
  }

  /** Whether the record took effect already. */
  isPast(offset: bigint): boolean {
    return this.#next !== undefined && offset < this.#next
  }

  /** For adapters, when a record is handed over: how many starts it had that nobody here knows of. */
  startsBefore(offset: bigint): number {
    if (this.isPast(offset)) return 0
    const isFirst = this.#isFresh
    this.#isFresh = false
    if (!this.#isSuspect) return 0
    if (this.#row.started === offset) return this.#row.starts
    return isFirst && this.#row.wasHeld ? 1 : 0
  }

  /**
   * Before a start of the record. `attempt` is which start it is, where that is to be counted. Its end is to
   * be told by {@link ended}.
   * @throws OncemqError while the store does not answer.
   */
  async begin(offset: bigint, attempt: number | undefined): Promise<'begun' | 'past' | 'lost'> {
    await this.#passing?.catch(() => undefined)
    if (this.#isLost) return 'lost'
    if (this.isPast(offset)) return 'past'
    if (attempt !== undefined && this.#isSuspect) {
      if ((await this.#update({ op: 'start', ...this.#guard, offset, attempt })) === 'lost') return 'lost'
      this.#counted = offset
    }
    this.#isRunning = true
    return 'begun'
  }

  /** What moves the row past the record, in the transaction of its handler. */
  advance(offset: bigint): AdvanceUpdate {
    return { op: 'advance', ...this.#guard, from: this.#next, next: offset + 1n }
  }

  /** A start of the record has ended: its transaction is committed, or was rolled back. */
  ended(offset: bigint, how: 'committed' | 'rolled-back' | 'lost'): void {
    this.#isRunning = false
    if (how === 'committed') this.#moved(offset + 1n)
    if (how === 'lost') this.#lose()
  }

  /**
   * Moves the row over what is settled without a transaction of its own: put aside, or nothing for a
   * consumer. While a record runs there is nothing to be done, since its own transaction moves the row
   * further. Answers whether the log is still this consumer's. @throws OncemqError while the store does not
   * answer.
   */
  async pass(next: bigint): Promise<boolean> {
    await this.#passing?.catch(() => undefined)
    if (this.#isRunning || (this.#next !== undefined && next <= this.#next)) return !this.#isLost
    this.#passing = this.#pass(next).finally(() => (this.#passing = undefined))
    return this.#passing
  }

  /** A start that was counted has ended without its process. Never rejects: it counts then. */
  async unstart(offset: bigint): Promise<void> {
    if (this.#counted !== offset) return
    this.#counted = undefined
    await this.#steps.update({ op: 'unstart', id: this.id, offset }).catch(() => undefined)
  }

  /** Nothing of it runs here any more. Never rejects: then the next one takes it for held. */
  async release(): Promise<void> {
    if (!this.#isLost) await this.#steps.update({ op: 'release', ...this.#guard }).catch(() => undefined)
  }

  get #guard(): { readonly id: string; readonly epoch: number } {
    return { id: this.id, epoch: this.epoch }
  }

  async #pass(next: bigint): Promise<boolean> {
    const answer = await this.#update({ op: 'advance', ...this.#guard, from: this.#next, next })
    if (answer === 'ok') this.#moved(next)
    return answer === 'ok'
  }

  #moved(next: bigint): void {
    this.#next = next
    this.#isSuspect = false
    this.#counted = undefined
  }

  #lose(): void {
    if (this.#isLost) return
    this.#isLost = true
    this.#lost.abort()
  }

  async #update(update: LogUpdate): Promise<UpdateAnswer> {
    const answer = await this.#steps.update(update)
    if (answer === 'lost') this.#lose()
    return answer
  }
}
