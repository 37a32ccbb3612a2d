import type { Clock } from '@oncemq/core/store'

/** How long the keys of a dead worker wait. Real consumers leave the default of 30 s. */
const LEASE_MS = 2000

/** What every way gives its deduplicator. */
export function sharedOptions(clock: Clock) {
  return {
    consumerGroup: 'billing',
    leaseMs: LEASE_MS,
    // Asks the store about each copy, as if the first one had been handled by another worker.
    doneCacheMax: 0,
    clock,
  }
}
