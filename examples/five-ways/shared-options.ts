import type { Clock } from '@oncemq/core/store'

/**
 * What every way gives its deduplicator. The lease is how long the keys of a dead worker wait; real consumers
 * leave the default of 30 s.
 */
export function sharedOptions(clock: Clock, leaseMs: number) {
  return {
    consumerGroup: 'billing',
    leaseMs,
    // Asks the store about each copy, as if the first one had been handled by another worker.
    doneCacheMax: 0,
    clock,
  }
}
