import type { DatabaseSync } from 'node:sqlite'
import { backoffMs, jittered } from '@oncemq/core/store'
import { ConnectionTaken, isBusy } from './errors.ts'
import type { Settings } from './options.ts'

/**
 * How long SQLite itself may wait for a lock: it does so in a system call, with this process's event loop at
 * rest. So it waits only about as long as a neighbour's short transaction takes, which was measured to share
 * the file fairly between processes, and all further waiting is done by timers.
 */
export const LOCK_WAIT_MS = 5

const RETRY = Object.freeze({ firstMs: 1, factor: 1.6, maxMs: 50 })

/** How long to wait for the lock, and by which time. */
export type LockSettings = Pick<Settings, 'busyTimeoutMs' | 'clock' | 'random'>

/**
 * Repeats `attempt` for as long as the lock is taken, at most `busyTimeoutMs`, and throws its last error, or
 * the signal's reason. The event loop goes on in between: the lock may be held by a handler of this very
 * process.
 */
export async function whenFree<T>(
  attempt: () => T,
  { busyTimeoutMs, clock, random }: LockSettings,
  signal?: AbortSignal,
): Promise<T> {
  const deadlineMs = clock.monotonicMs() + busyTimeoutMs
  for (let count = 0; ; count += 1) {
    signal?.throwIfAborted()
    try {
      return attempt()
    } catch (error) {
      const restMs = deadlineMs - clock.monotonicMs()
      if (!isBusy(error) || restMs <= 0) throw error
      const delayMs = Math.min(restMs, jittered(backoffMs(RETRY, count), random))
      await new Promise<void>((resolve) => void clock.after(delayMs, resolve))
    }
  }
}

/**
 * Makes the function that takes the write lock or throws. BEGIN IMMEDIATE takes it at the start: a
 * transaction that reads first and asks for the lock later is refused at once, whatever the timeout. An
 * injected connection may have a long timeout of its own, which is set aside meanwhile.
 */
export function lockOf(database: DatabaseSync): () => void {
  const begin = database.prepare('BEGIN IMMEDIATE')
  const ownerWaitMs = Number(database.prepare('PRAGMA busy_timeout').get()?.['timeout'])
  return () => {
    if (database.isTransaction) throw new ConnectionTaken()
    if (ownerWaitMs <= LOCK_WAIT_MS) return void begin.run()
    database.exec(`PRAGMA busy_timeout = ${LOCK_WAIT_MS}`)
    try {
      begin.run()
    } finally {
      database.exec(`PRAGMA busy_timeout = ${ownerWaitMs}`)
    }
  }
}
