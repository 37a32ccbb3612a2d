import { OncemqError } from '@oncemq/core'
import type { Clock } from '@oncemq/core/broker'

/** A client that was not answered by then may wait for ever. */
const TIME_MAX_MS = 15_000

/** Bounds what a client may never answer. What comes too late is handed to `late`. */
export function inTime<Value>(
  clock: Clock,
  what: string,
  call: Promise<Value>,
  late: (value: Value) => unknown,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    let isLate = false
    const timer = clock.after(
      TIME_MAX_MS,
      () => {
        isLate = true
        reject(unanswered(what))
      },
      'background',
    )
    call.then(
      (value) => {
        timer.cancel()
        if (isLate) void late(value)
        else resolve(value)
      },
      (error: unknown) => {
        timer.cancel()
        reject(error as Error)
      },
    )
  })
}

function unanswered(what: string): OncemqError {
  return new OncemqError(
    'ONCEMQ_BROKER_UNAVAILABLE',
    `expected ${what} within ${TIME_MAX_MS} ms, received no answer; see that the broker can be reached, and ` +
      'give the client a time limit of its own',
  )
}
