import { jittered } from '../time/backoff.ts'
import type { Clock, Timer } from '../time/clock.ts'
import type { Random } from '../time/random.ts'

const SWEEP_LIMIT = 1000
const CHUNKS_MAX = 100
const BETWEEN_CHUNKS_MS = 20

/**
 * Sweeps a store's expired records now and then, a small chunk at a time, never keeping the process alive.
 */
export class Sweeper {
  readonly #step: ((limit: number) => Promise<number>) | undefined
  readonly #everyMs: number
  readonly #clock: Clock
  readonly #random: Random
  #timer: Timer | undefined
  #closed = false

  /** `step` is a bounded sweep of the store, `undefined` for a store that needs none. */
  constructor(
    step: ((limit: number) => Promise<number>) | undefined,
    everyMs: number,
    clock: Clock,
    random: Random,
  ) {
    this.#step = everyMs > 0 ? step : undefined
    this.#everyMs = everyMs
    this.#clock = clock
    this.#random = random
  }

  start(): void {
    if (this.#step === undefined || this.#timer !== undefined || this.#closed) return
    this.#after(jittered(this.#everyMs, this.#random), CHUNKS_MAX)
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  #after(delayMs: number, chunksLeft: number): void {
    this.#timer = this.#clock.after(delayMs, () => void this.#sweep(chunksLeft), 'background')
  }

  async #sweep(chunksLeft: number): Promise<void> {
    let more = false
    try {
      more = (await this.#step?.(SWEEP_LIMIT)) === SWEEP_LIMIT && chunksLeft > 1
    } catch {
      // The failure is an event already.
    }
    if (this.#closed) return
    if (more) this.#after(BETWEEN_CHUNKS_MS, chunksLeft - 1)
    else this.#after(jittered(this.#everyMs, this.#random), CHUNKS_MAX)
  }
}
