import { describe, test } from 'vitest'
import type { Property, PropertyCase } from './property.ts'

const CASE_TIMEOUT_MS = 60_000

/**
 * Makes one vitest test of each case. `runCase` answers why the case was skipped, or undefined. Cases
 * that are `concurrent` run side by side, as many as vitest's `maxConcurrency` says.
 */
export function registerProperties<Context, Need extends string>(
  title: string,
  properties: readonly Property<Context, Need>[],
  runCase: (testCase: PropertyCase<Context, Need>) => Promise<string | undefined>,
  { concurrent = false }: { readonly concurrent?: boolean | undefined } = {},
): void {
  describe(title, { concurrent }, () => {
    for (const { name, cases } of properties) {
      describe(name, () => {
        for (const testCase of cases) {
          // A case asserts by itself, as it runs without vitest too.
          // oxlint-disable-next-line vitest/expect-expect
          test(testCase.name, { timeout: CASE_TIMEOUT_MS }, async ({ skip }) => {
            const skipped = await runCase(testCase)
            if (skipped !== undefined) skip(skipped)
          })
        }
      })
    }
  })
}
