import type { Clock } from '../time/clock.ts'

/** The bound of a call, and what becomes of an answer that comes after it. */
export interface Bound<Answer> {
  readonly clock: Clock
  readonly timeoutMs: number
  /** Makes the error of a call without an answer in time. */
  timeoutError(): Error
  /** Gets an answer that nobody waits for any more: a connection, to give it back. */
  late?(answer: Answer): void
}

/**
 * A call that ends within a bound: a server that is stopped may leave its promise waiting for ever. What it
 * throws by itself, at once or later, comes through as it is.
 * @example
 * const late = (client: Client) => client.release()
 * const client = await within(() => pool.connect(), { clock, timeoutMs, timeoutError: noConnection, late })
 */
export function within<Answer>(call: () => Promise<Answer>, bound: Bound<Answer>): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let isLate = false
    const timer = bound.clock.after(bound.timeoutMs, () => {
      isLate = true
      reject(bound.timeoutError())
    })
    const fail = (error: unknown): void => {
      timer.cancel()
      reject(error as Error)
    }
    try {
      call().then((answer) => {
        timer.cancel()
        if (isLate) bound.late?.(answer)
        else resolve(answer)
      }, fail)
    } catch (error) {
      fail(error)
    }
  })
}

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
