// The production core in virtual time. More seeds: ONCEMQ_SIMULATION_SEEDS=20000; one seed:
// ONCEMQ_SIMULATION_FIRST=88 ONCEMQ_SIMULATION_SEEDS=1.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { simulate } from './run.ts'

const SEEDS = Number(process.env['ONCEMQ_SIMULATION_SEEDS'] ?? 300)
const FIRST = Number(process.env['ONCEMQ_SIMULATION_FIRST'] ?? 1)
const CHUNK = 50
const HISTORY_MAX = 200

/** Seeds that once found something, or that a change nearly broke, with what it was. */
const cases: readonly (readonly [number, string])[] = [
  [88, 'a claim of the self-test that arrives after the retention of its key'],
  [115, 'a commit that is never answered'],
]

const rejections: unknown[] = []
const note = (reason: unknown): void => void rejections.push(reason)
beforeAll(() => void process.on('unhandledRejection', note))
afterAll(() => void process.off('unhandledRejection', note))

async function expectSound(seed: number): Promise<void> {
  const { plan, violations, history } = await simulate(seed)
  if (violations.length === 0) return
  const story = history.slice(-HISTORY_MAX).join('\n')
  expect.fail(`seed ${seed}: ${violations.join('; ')}\n${JSON.stringify(plan)}\n${story}`)
}

describe('the promises hold in every schedule', () => {
  const chunks = Array.from({ length: Math.ceil(SEEDS / CHUNK) }, (_, count) => FIRST + count * CHUNK)
  test.each(chunks)('seeds from %d on', async (first) => {
    for (let seed = first; seed < Math.min(first + CHUNK, FIRST + SEEDS); seed += 1) await expectSound(seed)
    expect(rejections).toEqual([])
  })

  test.each(cases)('seed %d: %s', async (seed) => {
    await expectSound(seed)
    expect(rejections).toEqual([])
  })
})

test('the schedules reach every outcome', async () => {
  const reached = new Set<string>()
  for (let seed = 1; seed <= 100; seed += 1) {
    for (const line of (await simulate(seed)).history) reached.add(line.replace(/^\d+ /, ''))
  }
  const outcomes = [...reached].filter((line) => line.startsWith('outcome')).toSorted()
  const all = ['busy', 'completed', 'duplicate', 'failed', 'lost', 'rejected', 'unavailable', 'unconfirmed']
  expect(outcomes).toEqual(all.map((status) => `outcome ${status}`))
})

test('a seed is a schedule: the same one runs the same way', async () => {
  for (const seed of [7, 42]) {
    const [first, second] = [await simulate(seed), await simulate(seed)]
    expect(first.history.length).toBeGreaterThan(20)
    expect(second.history).toEqual(first.history)
  }
})
