import type { Random } from './random.ts'

/** How waits grow: `firstMs`, then times `factor` each time, up to `maxMs`. */
export interface Backoff {
  readonly firstMs: number
  readonly factor: number
  readonly maxMs: number
}

/** The wait before repetition `count` (from 0), without jitter, in whole milliseconds. */
export function backoffMs(backoff: Backoff, count: number): number {
  return Math.round(Math.min(backoff.maxMs, backoff.firstMs * backoff.factor ** Math.min(count, 64)))
}

/**
 * Takes a random part between half and all of a wait, so that waiters that started together do not meet
 * again.
 */
export function jittered(delayMs: number, random: Random): number {
  return Math.ceil(delayMs * (0.5 + random.fraction() / 2))
}
