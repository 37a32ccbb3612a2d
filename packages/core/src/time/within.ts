import type { Clock } from './clock.ts'

/** The bound of a call, and what becomes of an answer that comes after it. */
export interface Bound<Answer> {
  readonly clock: Clock
  readonly timeoutMs: number
  /** `background` for a timer that does not keep the process alive. */
  readonly kind?: 'background' | undefined
  /** Makes the error of a call without an answer in time. */
  timeoutError(): Error
  /** Gets an answer that nobody waits for any more: a connection, to give it back. */
  late?(answer: Answer): unknown
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
    const timer = bound.clock.after(
      bound.timeoutMs,
      () => {
        isLate = true
        reject(bound.timeoutError())
      },
      bound.kind,
    )
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
