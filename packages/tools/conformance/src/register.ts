import { describe, test } from 'vitest'
const CASE_TIMEOUT_MS = 60_000

/**
 * Makes one vitest test of each case. `runCase` answers why the case was skipped, or undefined. Cases
 * that are `concurrent` run side by side, as many as vitest's `maxConcurrency` says.
 */
export function registerProperties<Case extends { readonly name: string }>(
  title: string,
  properties: readonly { readonly name: string; readonly cases: readonly Case[] }[],
  runCase: (testCase: Case) => Promise<string | undefined>,
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
