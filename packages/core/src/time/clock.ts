/** A timer that was set; `cancel` is idempotent. */
export interface Timer {
  cancel(): void
}

/** Time as the core sees it, injected so that a simulation can drive it. */
export interface Clock {
  /** Wall-clock milliseconds since 1970. Only a store that is its own clock compares records with it. */
  nowMs(): number
  /** Milliseconds that never go back, from any origin. Deadlines are kept in it. */
  monotonicMs(): number
  /** Calls `action` once after `delayMs`. A `background` timer does not keep the process alive. */
  after(delayMs: number, action: () => void, kind?: 'background'): Timer
}

const TIMEOUT_MAX_MS = 2 ** 31 - 1

/** The machine's own time. The one place that reads it. */
export const systemClock: Clock = Object.freeze({
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs: number, action: () => void, kind?: 'background'): Timer {
    const timer = setTimeout(action, Math.min(delayMs, TIMEOUT_MAX_MS))
    if (kind === 'background') timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
})
