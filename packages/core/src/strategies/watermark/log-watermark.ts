import type { StoredLog } from '../../delivery/position.ts'
import type { AdvanceUpdate, UpdateAnswer } from '../../store/contract.ts'
import type { LogTaken, LogUpdate } from '../../store/log-contract.ts'

/** The store's steps for one log. Each rejects with an OncemqError. */
export interface LogSteps {
  take(): Promise<LogTaken>
  update(update: LogUpdate): Promise<UpdateAnswer>
}

/**
 * A log whose row in the store says how far it is done: as it stood when it was taken, and as it was moved
 * since.
 *
 * Who runs a record that ends its process leaves the log held. Whoever takes it counts the starts of the
 * record that it finds first, before each of them, until one record is done: so that message is given up in
 * the end, and no other one costs a write. What may have been started and not counted, once, counts as a
 * start.
 */
export class LogWatermark implements StoredLog {
  readonly #id: string
  readonly #steps: LogSteps
  readonly #row: LogTaken
  readonly #lost = new AbortController()
  #next: bigint | undefined
  /** Whether a record that was started and did not end may be what ended the process that had the log. */
  #isSuspect: boolean
  /** Whether no record was handed over since the log was taken. */
  #isFresh = true
  #isRunning = false
  /** The record of which a start was counted, that may be taken back. */
  #counted: bigint | undefined
  #passing: Promise<boolean> | undefined
  #released: Promise<void> | undefined

  private constructor(id: string, steps: LogSteps, row: LogTaken) {
    this.#id = id
    this.#steps = steps
    this.#row = row
    this.#next = row.next
    this.#isSuspect = row.wasHeld || (row.started !== undefined && row.started >= (row.next ?? 0n))
  }

  /** @throws OncemqError while the store does not answer. */
  static async take(id: string, steps: LogSteps): Promise<LogWatermark> {
    return new LogWatermark(id, steps, await steps.take())
  }

  get next(): bigint | undefined {
    return this.#next
  }

  get signal(): AbortSignal {
    return this.#lost.signal
  }

  isPast(offset: bigint): boolean {
    return this.#next !== undefined && offset < this.#next
  }

  startsBefore(offset: bigint): number {
    if (this.isPast(offset)) return 0
    const isFirst = this.#isFresh
    this.#isFresh = false
    if (!this.#isSuspect) return 0
    if (this.#row.started === offset) return this.#row.starts
    return isFirst && this.#row.wasHeld ? 1 : 0
  }

  async begin(offset: bigint, attempt: number | undefined): Promise<'begun' | 'past' | 'lost'> {
    while (this.#passing !== undefined) await this.#passing.catch(() => undefined)
    if (this.signal.aborted) return 'lost'
    if (this.isPast(offset)) return 'past'
    if (attempt !== undefined && this.#isSuspect) {
      if ((await this.#update({ op: 'start', ...this.#guard, offset, attempt })) === 'lost') return 'lost'
      this.#counted = offset
    }
    this.#isRunning = true
    return 'begun'
  }

  advance(offset: bigint): AdvanceUpdate {
    return { op: 'advance', ...this.#guard, from: this.#next, next: offset + 1n }
  }

  ended(offset: bigint, how: 'committed' | 'failed' | 'spared' | 'lost'): void {
    this.#isRunning = false
    if (how === 'committed') this.#moved(offset + 1n)
    if (how === 'lost') this.#lost.abort()
    if (how === 'spared' || how === 'lost') this.#takeBack(offset)
  }

  async pass(next: bigint): Promise<boolean> {
    // Two at once would both begin where the row is, and the later one find the log lost.
    while (this.#passing !== undefined) await this.#passing.catch(() => undefined)
    if (this.#isRunning || (this.#next !== undefined && next <= this.#next)) return !this.signal.aborted
    this.#passing = this.#pass(next).finally(() => (this.#passing = undefined))
    return this.#passing
  }

  release(): Promise<void> {
    this.#released ??= this.#release()
    return this.#released
  }

  get #guard(): { readonly id: string; readonly epoch: number } {
    return { id: this.#id, epoch: this.#row.epoch }
  }

  async #release(): Promise<void> {
    if (this.signal.aborted) return
    await this.#steps.update({ op: 'release', ...this.#guard }).catch(() => undefined)
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

  /** What cannot be taken back counts. */
  #takeBack(offset: bigint): void {
    if (this.#counted !== offset) return
    this.#counted = undefined
    void this.#steps.update({ op: 'unstart', id: this.#id, offset }).catch(() => undefined)
  }

  async #update(update: LogUpdate): Promise<UpdateAnswer> {
    const answer = await this.#steps.update(update)
    if (answer === 'lost') this.#lost.abort()
    return answer
  }
}
