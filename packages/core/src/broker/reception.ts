import type { Deduplicator } from '../deduplicator.ts'
import { publicText } from '../observe/public-text.ts'

/** How a consumer is, as far as is known without asking anybody: for readiness probes. */
export interface ConsumerHealth {
  /** Not while the broker is out of reach, nor while it pauses for its store, nor after its end. */
  readonly isReceiving: boolean
  /** Since when it does or does not, in milliseconds since 1970. */
  readonly sinceMs: number
  /** Why it does not, or did not the last time. Neither a payload nor a credential is in it. */
  readonly lastError: string | undefined
}

/** Whether a consumer receives, for those who ask, and for those who have to know. */
export class Reception {
  readonly #dedup: Pick<Deduplicator, 'settings' | 'warn'>
  #isReceiving = false
  #isOutOfReach = false
  #sinceMs: number
  #lastError: string | undefined

  constructor(dedup: Pick<Deduplicator, 'settings' | 'warn'>) {
    this.#dedup = dedup
    this.#sinceMs = dedup.settings.clock.nowMs()
  }

  get health(): ConsumerHealth {
    return Object.freeze({
      isReceiving: this.#isReceiving,
      sinceMs: this.#sinceMs,
      lastError: this.#lastError,
    })
  }

  began(): void {
    this.#set(true)
    if (this.#isOutOfReach) this.#dedup.warn('consume: messages can be received again')
    this.#isOutOfReach = false
  }

  ended(why?: string): void {
    this.#lastError = why ?? this.#lastError
    this.#set(false)
  }

  outOfReach(error: unknown): void {
    this.#isOutOfReach = true
    const what = publicText(error)
    this.ended(what)
    this.#dedup.warn(`consume: nothing can be received yet (${what}); trying again until it can`)
  }

  #set(isReceiving: boolean): void {
    if (this.#isReceiving === isReceiving) return
    this.#isReceiving = isReceiving
    this.#sinceMs = this.#dedup.settings.clock.nowMs()
  }
}
