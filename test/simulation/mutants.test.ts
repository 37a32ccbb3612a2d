// The oracle is tested: each seeded fault must be seen, and named for what it breaks.
import { expect, test } from 'vitest'

import { mutants } from './mutants.ts'
import { simulate } from './run.ts'

const SEEDS_MAX = 60

test.each(mutants)('$name breaks $breaks', async ({ breaks, mutation }) => {
  const seen = new Set<string>()
  for (let seed = 1; seed <= SEEDS_MAX && !seen.has(breaks); seed += 1) {
    const { violations } = await simulate(seed, mutation)
    for (const violation of violations) seen.add(violation.split(':')[0] ?? '')
  }
  expect([...seen]).toContain(breaks)
})
