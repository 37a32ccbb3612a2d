import { beforeAll, describe, expect, test } from 'vitest'
import { type BrokerCase, brokerProperties, runBrokerCase, testBroker } from '../src/index.ts'
import { brokenAdapters } from './broken-adapters.ts'
import { openToyBench, ToyAdapter } from './toy-broker.ts'

const WAITS = { waitMs: 5000, quietMs: 100 }

testBroker('in memory', { open: async () => openToyBench(ToyAdapter), ...WAITS, concurrent: true })

describe('broken adapters', () => {
  const cases = brokerProperties.flatMap(({ name, cases: its }) =>
    its.map((testCase) => ({ property: name, testCase })),
  )
  /** For each broken adapter, the cases that fail. All run at once: most of their time is waiting. */
  const failed = new Map<typeof ToyAdapter, Set<BrokerCase>>()

  beforeAll(async () => {
    const runs = brokenAdapters.flatMap(({ Adapter }) => {
      const found = new Set<BrokerCase>()
      failed.set(Adapter, found)
      return cases.map(async ({ testCase }) => {
        if (await fails(Adapter, testCase)) found.add(testCase)
      })
    })
    await Promise.all(runs)
  })

  test.each(brokenAdapters)('one that $fault fails what is named for it', ({ Adapter, caughtBy }) => {
    const found = cases.filter(({ testCase }) => failed.get(Adapter)?.has(testCase))
    expect(found.map(({ property }) => property)).toEqual(expect.arrayContaining([...caughtBy]))
  })

  test.each(cases)('one fails: $property: $testCase.name', ({ testCase }) => {
    expect([...failed.values()].some((found) => found.has(testCase))).toBe(true)
  })
})

test('what a client lacks is skipped with its reason, and nothing else is', async () => {
  const reason = 'this client cannot'
  const lacks = { 'handing back': reason }
  const options = { open: async () => openToyBench(ToyAdapter), ...WAITS, lacks }
  const closing = brokerProperties.find(({ name }) => name === 'closing')?.cases ?? []
  const answers = await Promise.all(closing.map((testCase) => runBrokerCase(options, testCase)))
  const isLacking = ({ needs = [] }: BrokerCase): boolean => [needs].flat().includes('handing back')
  expect(answers).toEqual(closing.map((testCase) => (isLacking(testCase) ? reason : undefined)))
  expect(answers).toContain(reason)
})

async function fails(Adapter: typeof ToyAdapter, testCase: BrokerCase): Promise<boolean> {
  return runBrokerCase({ open: async () => openToyBench(Adapter), ...WAITS }, testCase).then(
    () => false,
    () => true,
  )
}
