import { OptionError } from '../errors.ts'
import { missingMethod, requireInteger, requireOneOf } from '../validate.ts'
import type { Store } from './contract.ts'

const BATCH_BOUND = 1_000_000
const STORE_METHODS = ['open', 'claim', 'update', 'inspect', 'forget', 'close']

/** @throws OptionError for what is no store. */
export function requireStore(store: unknown): asserts store is Store {
  const without = missingMethod(store, STORE_METHODS)
  if (without !== undefined) {
    throw new OptionError(
      `store: expected a store of oncemq, received ${without}; ` +
        `pass one around your database, such as new SqliteStore({ path }) or new MemoryStore()`,
    )
  }
  const { guarantees, batching } = store as Partial<Store>
  requireInteger('store.batching.batchMax', batching?.batchMax, 1, BATCH_BOUND)
  requireInteger('store.batching.batchesInFlightMax', batching?.batchesInFlightMax, 1, BATCH_BOUND)
  if (batching?.transactionsInFlightMax !== undefined) {
    const { transactionsInFlightMax } = batching
    requireInteger('store.batching.transactionsInFlightMax', transactionsInFlightMax, 1, BATCH_BOUND)
  }
  if (batching?.batchMin !== undefined)
    requireInteger('store.batching.batchMin', batching.batchMin, 1, batching.batchMax)
  if (batching?.light !== undefined)
    requireInteger('store.batching.light.callsMax', batching.light.callsMax, 1, BATCH_BOUND)
  requireOneOf('store.guarantees.transactional', guarantees?.transactional ?? null, [true, false])
}
