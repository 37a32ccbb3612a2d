import type { Store, TransactionalStore } from '@oncemq/core'

/** What a case may need of a store: a guarantee, or records that stay until they are swept. */
export type StoreNeed = 'durable' | 'sweeping' | 'transactional'

const CAPABLE: Record<StoreNeed, (store: Store) => boolean> = {
  durable: (store) => store.guarantees.durable,
  sweeping: isSweeping,
  transactional: (store): store is TransactionalStore<unknown> => store.guarantees.transactional,
}

export function isCapable(store: Store, need: StoreNeed | undefined): boolean {
  return need === undefined || CAPABLE[need](store)
}

/** Whether expired records stay until they are swept, so that their epochs can be told. */
export function isSweeping(store: Store): store is Store & { sweep(limit: number): Promise<number> } {
  return 'sweep' in store && typeof store.sweep === 'function'
}
