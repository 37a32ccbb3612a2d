// The production core and engine in virtual time. More seeds: `npm run simulate -- --seeds 20000`.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { simulate } from './run.ts'

const SEEDS = 200
const CHUNK = 20
const HISTORY_MAX = 200

/** Seeds that found something, with what it was. */
const cases: readonly (readonly [number, string])[] = [
  [11, 'a message without a key that ends its process, in the transactional mode'],
  [5, 'a key that is forgiven before its release has reached the store'],
  [168, 'two suspects that are let alone at the same moment'],
  [264, 'copies that are made while a handler ends the process'],
  [331, 'a message that waits in its order for longer than it may be held'],
  [464, 'a session that is opened while the consumer is paused'],
  [942, 'a claim that arrives after its release'],
  [6626, 'messages that go back after the pause is over'],
  [3147, 'a store that refuses to open a transaction'],
  [5021, 'a replay of a dead letter while the store is slow'],
  [7368, 'many suspects in a row'],
  [1052, 'more messages of a key that ends its process than wait in place'],
  [7352, 'copies of a busy key, some of whose confirms get lost'],
  [7374, 'a released claim that comes back with the attempts of then'],
  [11790, 'many messages of one key that ends its process, after its dead letters too'],
  [18808, 'copies of a message without a key, some of which end within the minute'],
  [2518, 'messages of a busy key that must not be held for another second'],
  [13263, 'a released claim that comes back with fewer attempts than were had since'],
  [12257, 'a claim whose answer comes too late, just before an outage'],
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
  const chunks = Array.from({ length: SEEDS / CHUNK }, (_, count) => 1 + count * CHUNK)
  test.each(chunks)('seeds from %d on', async (first) => {
    for (let seed = first; seed < first + CHUNK; seed += 1) await expectSound(seed)
    expect(rejections).toEqual([])
  })

  test.each(cases)('seed %d: %s', async (seed) => {
    await expectSound(seed)
    expect(rejections).toEqual([])
  })
})

test('the schedules reach what they are for', async () => {
  const reached = new Set<string>()
  for (let seed = 1; seed <= 100; seed += 1) {
    for (const line of (await simulate(seed)).history) reached.add(line.split(' ')[1] ?? '')
  }
  const all = [
    'busy',
    'closes',
    'copy',
    'deadLettered',
    'duplicate',
    'killed',
    'lost',
    'outage',
    'recovered',
    'return',
  ]
  expect(all.filter((word) => !reached.has(word))).toEqual([])
})

test('a seed is a schedule: the same one runs the same way', async () => {
  for (const seed of [7, 42]) {
    const [first, second] = [await simulate(seed), await simulate(seed)]
    expect(first.history.length).toBeGreaterThan(20)
    expect(second.history).toEqual(first.history)
  }
})
