import type { OncemqError } from '../errors.ts'
import type { Outage } from '../store/outage.ts'
import { isAnswer } from '../store/outage.ts'
import type { Clock } from '../time/clock.ts'
import { pause } from '../time/condition.ts'

/** Before the store is asked again for what it refused, or cannot do just now. */
const ASK_AGAIN_MS = 1000

/**
 * Resolves with true when it is time to ask the store again after `error`; with false at `untilMs` of the
 * monotonic clock, at close, or when `signal` aborts.
 */
export async function mayAskAgain(
  error: OncemqError,
  untilMs: number,
  { clock, outage }: { readonly clock: Clock; readonly outage: Outage },
  signal?: AbortSignal,
): Promise<boolean> {
  const leftMs = untilMs - clock.monotonicMs()
  if (leftMs <= 0 || outage.isClosed) return false
  // What is refused for one key may be fine for all others.
  if (isAnswer(error)) return pause(clock, Math.min(leftMs, ASK_AGAIN_MS), signal)
  outage.failed(error)
  return outage.recovery(leftMs, signal)
}
