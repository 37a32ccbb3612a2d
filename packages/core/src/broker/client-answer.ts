import { OncemqError } from '../errors.ts'
import type { Clock } from '../time/clock.ts'

/**
 * What a client answers within `withinMs`, as one that never answers must not keep a consumer for ever. A
 * late answer is handed to `late`.
 */
export function clientAnswer<Value>(
  clock: Clock,
  withinMs: number,
  what: string,
  call: Promise<Value>,
  late?: (value: Value) => unknown,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    let isLate = false
    const timer = clock.after(withinMs, () => {
      isLate = true
      reject(noAnswer(what, withinMs))
    })
    call.then(
      (value) => {
        timer.cancel()
        if (isLate) late?.(value)
        else resolve(value)
      },
      (error: unknown) => {
        timer.cancel()
        reject(error as Error)
      },
    )
  })
}

function noAnswer(what: string, withinMs: number): OncemqError {
  return new OncemqError(
    'ONCEMQ_BROKER_UNAVAILABLE',
    `consume: expected the client ${what} within ${withinMs} ms, received no answer; ` +
      `see that the broker can be reached, and set a time limit in the client`,
  )
}
