import type { Clock, Timer } from '@oncemq/core/broker'

/**
 * A consumer may wait for further messages before it acks the first one. What waits for a key takes places of
 * the prefetch window, so when nothing was settled for so long, it goes to wait at the broker.
 */
const STALL_MS = 500

export interface StallWatchOptions {
  readonly clock: Clock
  /** How many messages the broker sends without an ack; 0 for any number. */
  readonly window: number
  /** How many it holds already. 0 by default. */
  readonly unsettled?: number
  /** The window is full, and nothing moves. */
  readonly onStall: () => void
  /** There is a place again. */
  readonly onPlace: () => void
}

/** Counts what a prefetch window holds, and notices when it is full and stands still. */
export class StallWatch {
  readonly #options: StallWatchOptions
  #unsettled: number
  #timer: Timer | undefined

  constructor(options: StallWatchOptions) {
    this.#options = options
    this.#unsettled = options.unsettled ?? 0
  }

  received(): void {
    const { clock, onStall, window } = this.#options
    this.#unsettled += 1
    if (window > 0 && this.#unsettled >= window) this.#timer ??= clock.after(STALL_MS, onStall, 'background')
  }

  settled(): void {
    this.#unsettled -= 1
    this.stop()
    this.#options.onPlace()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }
}
