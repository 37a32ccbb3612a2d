import type { Clock } from '../time/clock.ts'
import { within } from '../time/within.ts'

/**
 * Ends something, and waits for that within a bound. Never rejects: a server that does not answer does not
 * say goodbye either, and what cannot be ended in good order has ended already.
 */
export async function endWithin(
  end: () => Promise<unknown>,
  { clock, timeoutMs }: { readonly clock: Clock; readonly timeoutMs: number },
): Promise<void> {
  const timeoutError = (): Error => new Error('the end took too long')
  await within(end, { clock, timeoutMs, timeoutError }).catch(() => undefined)
}

/**
 * Runs `work` until it settles or `signal` aborts, whichever comes first. Then rejects with the signal's
 * reason; what `work` does later is nobody's concern, and its failure is no unhandled rejection.
 */
export function untilAborted<Answer>(work: () => Promise<Answer>, signal?: AbortSignal): Promise<Answer> {
  if (signal === undefined) return work()
  return new Promise((resolve, reject) => {
    const aborted = (): void => reject(signal.reason as Error)
    if (signal.aborted) return aborted()
    signal.addEventListener('abort', aborted, { once: true })
    work()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', aborted))
  })
}
