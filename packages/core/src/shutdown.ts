import { OptionError, received } from './errors.ts'
import { systemClock } from './time/clock.ts'
import { within } from './time/within.ts'
import { givenOptions, requireInteger } from './validate.ts'

/** Something that is closed within a bound, or the function that closes it. */
export type Closable = { close(options: { timeoutMs: number }): unknown } | (() => unknown)

/** Options of {@link shutdown}: what is closed, in the order of these names. */
export interface ShutdownOptions {
  /**
   * What brings messages: consumers of `consume`, channels of `dedupChannel`, or functions that stop what
   * else consumes. All at once.
   * @default []
   */
  consumers?: readonly Closable[]
  /**
   * Deduplicators, once no message comes any more. Each closes its store with the last deduplicator of it.
   * @default []
   */
  deduplicators?: readonly Closable[]
  /**
   * What is left to you: connections to brokers, pools of databases.
   * @default []
   */
  clients?: readonly Closable[]
  /**
   * How long all of it may take. Less than what the platform waits after SIGTERM, which is 30 s on
   * Kubernetes. Milliseconds, 0 to 86400000.
   * @default 25000
   */
  timeoutMs?: number
}

/** The defaults of {@link ShutdownOptions}. */
export const shutdownDefaults = Object.freeze({
  consumers: Object.freeze([]) as readonly Closable[],
  deduplicators: Object.freeze([]) as readonly Closable[],
  clients: Object.freeze([]) as readonly Closable[],
  timeoutMs: 25_000,
})

const steps = ['consumers', 'deduplicators', 'clients'] as const
/** How much of the time that is left a step may take; those after it have the rest. */
const PARTS = { consumers: 0.7, deduplicators: 0.7, clients: 1 } as const
/** What a close that is in time may take beyond what it was given. */
const GRACE_PART = 0.2
const TIMEOUT_MAX_MS = 86_400_000

/**
 * Closes a service in the right order: consumers, so that no message comes any more and those that run end;
 * deduplicators with their stores; then the clients. What has not ended in time loses nothing: its messages
 * are delivered again. Never rejects for what a close throws.
 * @returns what failed or was out of time; nothing when all was closed.
 * @throws OptionError for an option that is wrong.
 * @example
 * process.once('SIGTERM', () => shutdown({ consumers: [consumer], deduplicators: [dedup] }))
 */
export async function shutdown(options: ShutdownOptions): Promise<unknown[]> {
  const given = givenOptions('shutdown', options, new Set(Object.keys(shutdownDefaults)))
  const settings = { ...shutdownDefaults, ...given }
  requireInteger('timeoutMs', settings.timeoutMs, 0, TIMEOUT_MAX_MS)
  for (const step of steps) requireClosables(step, settings[step])
  const untilMs = systemClock.monotonicMs() + settings.timeoutMs
  const failures: unknown[] = []
  for (const step of steps) {
    const leftMs = Math.max(0, untilMs - systemClock.monotonicMs())
    const timeoutMs = Math.floor(leftMs * PARTS[step])
    const closing = settings[step].map((each) => closed(step, each, timeoutMs))
    const ends = await Promise.allSettled(closing)
    for (const end of ends) if (end.status === 'rejected') failures.push(end.reason)
  }
  return failures
}

function closed(step: string, closable: Closable, timeoutMs: number): Promise<unknown> {
  const forIt = { timeoutMs: Math.floor(timeoutMs * (1 - GRACE_PART)) }
  const close = async (): Promise<unknown> =>
    typeof closable === 'function' ? closable() : closable.close(forIt)
  const timeoutError = (): Error =>
    new Error(`shutdown: expected one of ${step} to close within ${timeoutMs} ms, and it did not`)
  return within(close, { clock: systemClock, timeoutMs, timeoutError })
}

function requireClosables(name: string, closables: unknown): void {
  if (Array.isArray(closables) && closables.every(isClosable)) return
  const wrong = Array.isArray(closables) ? closables.filter((each) => !isClosable(each)) : []
  const what = Array.isArray(closables) ? `one with ${received(wrong[0])}` : received(closables)
  throw new OptionError(
    `${name}: expected an array of objects with close(), or of functions, received ${what}; ` +
      `give what is to be closed, or leave it out`,
  )
}

function isClosable(value: unknown): value is Closable {
  if (typeof value === 'function') return true
  return typeof (value as { readonly close?: unknown } | null | undefined)?.close === 'function'
}
