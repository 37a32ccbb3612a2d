import type { Deduplicator } from './deduplicator.ts'
import type { DeduplicatorOptions, GivenOptions } from './options.ts'
import { Service } from './service.ts'
import type { Store, TransactionalStore } from './store/contract.ts'
import type { StorelessStrategy, Strategy, TransactionStrategy } from './strategies/strategy.ts'

/**
 * Makes a deduplicator. No I/O happens before its first use or {@link Deduplicator.open}.
 * @throws OptionError for an option that is wrong.
 * @example
 * const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'billing' })
 */
export function createDeduplicator<Tx>(
  options: DeduplicatorOptions<Tx> & { strategy: 'transactional'; store: TransactionalStore<Tx> },
): Deduplicator<Tx>
export function createDeduplicator<Tx>(
  options: Omit<DeduplicatorOptions<Tx>, 'store' | 'strategy'> & {
    store: TransactionalStore<Tx>
    strategy: TransactionStrategy
  },
): Deduplicator<Tx>
export function createDeduplicator<Tx>(
  options: Omit<DeduplicatorOptions, 'store' | 'strategy'> & {
    store?: Store
    strategy: StorelessStrategy<Tx>
  },
): Deduplicator<Tx>
export function createDeduplicator(
  options: DeduplicatorOptions & { strategy?: 'lease' | Strategy },
): Deduplicator
export function createDeduplicator<Tx>(options: DeduplicatorOptions<Tx>): Deduplicator<Tx>
export function createDeduplicator<Tx>(options: GivenOptions<Tx>): Deduplicator<Tx> {
  return new Service(options)
}
