import type { Store } from '../store/contract.ts'

/** What a strategy asks of a store once, and keeps: the same strategy may be used with several stores. */
export function perStore<Part>(ask: (store: Store) => Part): (store: Store) => Part {
  const parts = new WeakMap<Store, Part>()
  return (store) => {
    const part = parts.get(store) ?? ask(store)
    parts.set(store, part)
    return part
  }
}
