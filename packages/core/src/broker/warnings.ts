import type { Deduplicator } from '../deduplicator.ts'
import { isOncemqError } from '../errors.ts'
import { placeOf, publicText } from '../observe/public-text.ts'

const TOLD_MAX = 200
/** From which failed attempt of a message on it is told. */
const FAILURES_TOLD = 3

/** What the engine tells its user: each thing once, however often it happens. */
export class Warnings {
  readonly #dedup: Pick<Deduplicator, 'warn'>
  readonly #told = new Set<string>()

  constructor(dedup: Pick<Deduplicator, 'warn'>) {
    this.#dedup = dedup
  }

  storeRefuses(error: unknown): void {
    this.#once(`the store refuses; messages are held: ${publicText(error)}`)
  }

  copyFailed(purpose: 'retry' | 'dead-letter', error: unknown): void {
    this.#once(
      `${purpose}: a message could not be sent on; it is held, and tried again: ${publicText(error)}`,
    )
  }

  /** By its kind and place: the message may quote what it worked on. What passes by itself is not told. */
  handlerFailed(error: unknown, attempt: number): void {
    if (attempt < FAILURES_TOLD) return
    const what =
      isOncemqError(error) && error.code === 'ONCEMQ_HANDLER_TIMEOUT' ? error.message : placeOf(error)
    this.#once(`a handler keeps failing; its message is tried again until attemptsMax: ${what}`)
  }

  #once(message: string): void {
    if (this.#told.has(message) || this.#told.size >= TOLD_MAX) return
    this.#told.add(message)
    this.#dedup.warn(message)
  }
}
