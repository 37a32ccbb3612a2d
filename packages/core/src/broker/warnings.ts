import type { Deduplicator } from '../deduplicator.ts'
import { isOncemqError } from '../errors.ts'
import { placeOf, publicText } from '../observe/public-text.ts'

const TOLD_MAX = 200

/** What the engine tells its user: each thing once, however often it happens. */
export class Warnings {
  readonly #dedup: Pick<Deduplicator, 'warn'>
  readonly #told = new Set<string>()

  constructor(dedup: Pick<Deduplicator, 'warn'>) {
    this.#dedup = dedup
  }

  storeRefuses(error: unknown): void {
    this.#once(`the store refuses; messages are held: ${described(error)}`)
  }

  copyFailed(purpose: 'retry' | 'dead-letter', error: unknown): void {
    this.#once(`${purpose}: a message could not be sent on; it is held, and tried again: ${described(error)}`)
  }

  /** By its kind and place: a handler's message may quote what it worked on. */
  handlerFailed(error: unknown): void {
    const what =
      isOncemqError(error) && error.code === 'ONCEMQ_HANDLER_TIMEOUT' ? error.message : placeOf(error)
    this.#once(`a handler failed; its message is tried again until attemptsMax: ${what}`)
  }

  #once(message: string): void {
    if (this.#told.has(message) || this.#told.size >= TOLD_MAX) return
    this.#told.add(message)
    this.#dedup.warn(message)
  }
}

/** An error of a client or of ours: its name and the beginning of its message, without credentials. */
export function described(error: unknown): string {
  return publicText(error)
}
