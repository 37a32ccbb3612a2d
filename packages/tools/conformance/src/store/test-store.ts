import { registerProperties } from '../register.ts'
import { runStoreCase } from './run-case.ts'
import type { StoreSuiteOptions } from './options.ts'
import { storeProperties } from './properties.ts'

/**
 * Registers with vitest every property that a store must keep. A store that passes needs no other tests of
 * the protocol. What does not apply, by the store's own guarantees, is skipped with the reason.
 * @example testStore('memory', { open: ({ clock }) => new MemoryStore({ clock }), virtualTime: true })
 */
export function testStore<Tx = unknown>(name: string, options: StoreSuiteOptions<Tx>): void {
  registerProperties(`store ${name}`, storeProperties, (testCase) => runStoreCase(options, testCase))
}
