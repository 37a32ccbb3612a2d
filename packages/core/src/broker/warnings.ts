import type { Deduplicator } from '../deduplicator.ts'

const TOLD_MAX = 200
const DETAIL_MAX = 300

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

  #once(message: string): void {
    if (this.#told.has(message) || this.#told.size >= TOLD_MAX) return
    this.#told.add(message)
    this.#dedup.warn(message)
  }
}

/** An error's name and the beginning of its message. */
export function described(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message.slice(0, DETAIL_MAX)}` : typeof error
}
