import { MemoryStore } from '@oncemq/core'
import type { BenchStore } from './bench-store.ts'

// What a larger map costs the garbage collector would be counted as the other variant's too.
const NAIVE_KEYS_MAX = 100_000

/** Against a plain map of keys in this process: the least that any deduplication costs. */
export const memory: BenchStore = {
  name: 'memory',
  async open() {
    const done = new Map<string, boolean>()
    return {
      store: new MemoryStore({ keysMax: 4_000_000 }),
      naive: {
        async handle(key) {
          if (done.size === NAIVE_KEYS_MAX) done.clear()
          done.set(key, false)
          done.set(key, true)
        },
      },
      processes: () => [],
      async close() {
        done.clear()
      },
    }
  },
}
