import type { Clock } from './clock.ts'

/** What is remembered of a key that was done a moment ago. */
export interface RecentlyDone {
  readonly fingerprint: string | undefined
  readonly result: Uint8Array | undefined
}

interface Remembered extends RecentlyDone {
  readonly untilMs: number
}

const RESULT_BYTES_MAX = 4096

/**
 * Keys done a moment ago, answered without asking the store. Two generations: when the young one is full it
 * becomes the old one and the old one goes, so that it holds between half of `keysMax` and all of it at a
 * constant cost.
 */
export class Recent {
  readonly #generationMax: number
  readonly #ttlMs: number
  readonly #clock: Clock
  #young = new Map<string, Remembered>()
  #old = new Map<string, Remembered>()

  constructor(limits: { keysMax: number; ttlMs: number }, clock: Clock) {
    this.#generationMax = Math.ceil(limits.keysMax / 2)
    this.#ttlMs = limits.ttlMs
    this.#clock = clock
  }

  get(id: string): RecentlyDone | undefined {
    if (this.#generationMax === 0) return undefined
    const found = this.#young.get(id) ?? this.#old.get(id)
    return found !== undefined && this.#clock.monotonicMs() < found.untilMs ? found : undefined
  }

  /**
   * Remembers a key, but no large result: the store has it. A copy, since the bytes may be cut from a large
   * buffer.
   */
  add(id: string, { fingerprint, result }: RecentlyDone): void {
    if (this.#generationMax === 0 || this.#ttlMs === 0) return
    if (result !== undefined && result.byteLength > RESULT_BYTES_MAX) return
    if (this.#young.size >= this.#generationMax) {
      this.#old = this.#young
      this.#young = new Map()
    }
    const kept = result && new Uint8Array(result)
    this.#young.set(id, { fingerprint, result: kept, untilMs: this.#clock.monotonicMs() + this.#ttlMs })
  }

  delete(id: string): void {
    this.#young.delete(id)
    this.#old.delete(id)
  }
}
