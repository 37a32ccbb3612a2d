import { OncemqError, readable } from '../errors.ts'
import type { Clock, Timer } from '../time/clock.ts'

export interface HandlerBound {
  readonly clock: Clock
  /** 0 for no bound. */
  readonly handlerTimeoutMs: number
  /** What has to end, for the message. @default 'handler' */
  readonly what?: string
  /** Tells the handler to stop. */
  readonly abort: (reason: unknown) => void
}

/**
 * Runs a handler within its bound. Past it the handler shall stop, and nobody waits for it any more.
 * @throws what the handler throws, as an error that can be read.
 */
export async function bounded<Result>(
  run: () => Promise<Result> | Result,
  { clock, handlerTimeoutMs, abort, what = 'handler' }: HandlerBound,
): Promise<Result> {
  if (handlerTimeoutMs === 0) return running(run)
  let timer: Timer | undefined
  const expired = new Promise<never>((_, reject) => {
    timer = clock.after(handlerTimeoutMs, () => {
      const error = handlerTimeout(what, handlerTimeoutMs)
      abort(error)
      reject(error)
    })
  })
  try {
    return await Promise.race([running(run), expired])
  } finally {
    timer?.cancel()
  }
}

async function running<Result>(run: () => Promise<Result> | Result): Promise<Result> {
  try {
    return await run()
  } catch (error) {
    throw readable(error)
  }
}

function handlerTimeout(what: string, handlerTimeoutMs: number): OncemqError {
  return new OncemqError(
    'ONCEMQ_HANDLER_TIMEOUT',
    `${what}: expected an end within ${handlerTimeoutMs} ms, received none; look for what it waits for, ` +
      `stop when context.signal aborts, or raise handlerTimeoutMs`,
  )
}
