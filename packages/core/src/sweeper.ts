import { jittered } from './backoff.ts'
import type { Clock, Timer } from './clock.ts'
import type { Random } from './random.ts'
import type { Store, SweepingStore } from './store.ts'

const SWEEP_LIMIT = 1000
const CHUNKS_MAX = 100
const BETWEEN_CHUNKS_MS = 20

/**
 * Sweeps a store's expired records now and then, a small chunk at a time, never keeping the process alive.
 */
export class Sweeper {
  readonly #store: SweepingStore | undefined
  readonly #everyMs: number
  readonly #clock: Clock
  readonly #random: Random
  readonly #onError: (error: unknown) => void
  #timer: Timer | undefined
  #closed = false

  constructor(
    store: Store,
    everyMs: number,
    clock: Clock,
    random: Random,
    onError: (error: unknown) => void,
  ) {
    this.#store = 'sweep' in store && everyMs > 0 ? (store as SweepingStore) : undefined
    this.#everyMs = everyMs
    this.#clock = clock
    this.#random = random
    this.#onError = onError
  }

  start(): void {
    if (this.#store === undefined || this.#timer !== undefined || this.#closed) return
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
      more = (await this.#store?.sweep(SWEEP_LIMIT)) === SWEEP_LIMIT && chunksLeft > 1
    } catch (error) {
      this.#onError(error)
    }
    if (this.#closed) return
    if (more) this.#after(BETWEEN_CHUNKS_MS, chunksLeft - 1)
    else this.#after(jittered(this.#everyMs, this.#random), CHUNKS_MAX)
  }
}
