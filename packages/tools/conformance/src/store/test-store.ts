import { describe, test } from 'vitest'
import { runStoreCase } from './context.ts'
import type { StoreSuiteOptions } from './options.ts'
import { storeProperties } from './properties.ts'

const CASE_TIMEOUT_MS = 60_000

/**
 * Registers with vitest every property that a store must keep. A store that passes needs no other tests of the
 * protocol. What does not apply, by the store's own guarantees, is skipped with the reason.
 * @example testStore('memory', { open: ({ clock }) => new MemoryStore({ clock }), virtualTime: true })
 */
export function testStore<Tx = unknown>(name: string, options: StoreSuiteOptions<Tx>): void {
  describe(`store ${name}`, () => {
    for (const property of storeProperties) {
      describe(property.name, () => {
        for (const testCase of property.cases) {
          // oxlint-disable-next-line vitest/expect-expect -- a case asserts by itself: it runs without vitest too.
          test(testCase.name, { timeout: CASE_TIMEOUT_MS }, async ({ skip }) => {
            const skipped = await runStoreCase(options, testCase)
            if (skipped !== undefined) skip(skipped)
          })
        }
      })
    }
  })
}
