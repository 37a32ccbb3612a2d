import type { Store } from '@oncemq/core'
import type { StoreSuiteOptions } from './options.ts'

/** What a case may need: a guarantee, records that stay until they are swept, or a part of the options. */
export type StoreNeed =
  | 'durable'
  | 'sweeping'
  | 'transactional'
  | 'batching'
  | 'committing'
  | 'locking'
  | 'logs'
  | 'spoiling'

type Capable = (store: Store, options: StoreSuiteOptions<never>) => boolean

const CAPABLE: Record<StoreNeed, Capable> = {
  batching: (store) => store.guarantees.batchesTransactions !== undefined,
  committing: (store, { effects }) => store.guarantees.transactional && effects?.commit !== undefined,
  locking: (_store, options) => options.lock !== undefined,
  spoiling: (_store, options) => options.spoil !== undefined,
  logs: (store) => 'takeLog' in store,
  durable: (store) => store.guarantees.durable,
  sweeping: isSweeping,
  transactional: (store) => store.guarantees.transactional,
}

/** Why a case with this need is skipped, or undefined. */
export function skipReason(
  store: Store,
  need: StoreNeed | undefined,
  options: StoreSuiteOptions<never>,
): string | undefined {
  if (need === undefined || CAPABLE[need](store, options)) return undefined
  if (need === 'locking') return "the suite's options have no lock()"
  if (need === 'spoiling') return "the suite's options have no spoil()"
  if (need === 'batching') return `${store.name} batches no transactions`
  if (need === 'logs') return `${store.name} keeps no logs`
  if (need !== 'committing') return `${store.name} is not ${need}`
  return store.guarantees.transactional
    ? "the suite's options have no effects.commit()"
    : `${store.name} is not transactional`
}

/** Whether expired records stay until they are swept, so that their epochs can be told. */
export function isSweeping(store: Store): store is Store & { sweep(limit: number): Promise<number> } {
  return 'sweep' in store && typeof store.sweep === 'function'
}
