import type { Deduplicator } from '../deduplicator.ts'
import { isOncemqError } from '../errors.ts'
import { pause } from '../time/condition.ts'
import { Warnings } from './warnings.ts'

const ASK_AGAIN_MS = 1000

/**
 * What copies are signed with, for reading what came with one. Waits for a store that is down, as the message
 * would have to anyway; `undefined` when `gone` aborts, or when it can never be had.
 */
export async function copySecret(
  dedup: Pick<Deduplicator<never>, 'available' | 'secret' | 'settings' | 'warn'>,
  gone?: AbortSignal,
): Promise<Uint8Array | undefined> {
  const warnings = new Warnings(dedup)
  while (gone?.aborted !== true) {
    try {
      return await dedup.secret()
    } catch (error) {
      if (isOncemqError(error) && error.code === 'ONCEMQ_CLOSED') return undefined
      // An outage is an event of the store.
      if (isOncemqError(error) && !error.retryable) warnings.storeRefuses(error)
    }
    await dedup.available(gone)
    if (!(await pause(dedup.settings.clock, ASK_AGAIN_MS, gone))) return undefined
  }
  return undefined
}
