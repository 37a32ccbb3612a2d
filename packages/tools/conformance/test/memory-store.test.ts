import { MemoryStore } from '@oncemq/core'
import { testStore } from '../src/index.ts'

const stores = new Map<string, MemoryStore>()

testStore('memory', {
  virtualTime: true,
  open({ namespace, clock }) {
    const store = stores.get(namespace) ?? new MemoryStore({ clock })
    stores.set(namespace, store)
    return store
  },
})
