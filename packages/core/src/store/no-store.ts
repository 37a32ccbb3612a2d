import { MemoryStore } from '../memory/memory-store.ts'
import type { Store } from './contract.ts'

/**
 * Stands in for the store of a strategy that needs none. What is kept with it all the same, the secret by
 * which copies are known, is known to this process alone.
 */
export function noStore(): Store {
  const memory = new MemoryStore()
  return {
    name: 'none',
    guarantees: memory.guarantees,
    batching: memory.batching,
    open: async () => [],
    claim: (batch) => memory.claim(batch),
    update: (batch) => memory.update(batch),
    inspect: (ids) => memory.inspect(ids),
    forget: (ids) => memory.forget(ids),
    close: () => memory.close(),
  }
}
