import { describe, expect, test } from 'vitest'

import { createDeduplicator } from '../src/index.ts'
import { VirtualClock } from '../src/testing/index.ts'
import { Sweeper } from '../src/store/sweeper.ts'
import { elapse } from './elapse.ts'
import { ScriptedStore } from './scripted-store.ts'
import { countedRandom, GROUP } from './set-up.ts'

const EVERY_MS = 60_000

/** A sweeper whose store answers as told, one answer a sweep, the last one for ever. */
function sweeping(answers: readonly (number | Error)[], everyMs = EVERY_MS) {
  const clock = new VirtualClock()
  const sweptAtMs: number[] = []
  const sweep = (): Promise<number> => {
    const answer = answers[Math.min(sweptAtMs.length, answers.length - 1)] ?? 0
    sweptAtMs.push(clock.monotonicMs())
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer)
  }
  const sweeper = new Sweeper(sweep, everyMs, clock, countedRandom())
  sweeper.start()
  return { clock, sweeper, sweptAtMs }
}

describe('sweeping', () => {
  test('happens now and then, with jitter, so that workers do not sweep at once', async () => {
    const { clock, sweptAtMs } = sweeping([0])
    await elapse(clock, 3 * EVERY_MS)
    expect(sweptAtMs).toEqual([45_000, 90_000, 135_000, 180_000])
  })

  test('goes on in short steps while there is more, up to a bound', async () => {
    const { clock, sweptAtMs } = sweeping([1000])
    await elapse(clock, 45_000 + 99 * 20)
    expect(sweptAtMs).toHaveLength(100)
    await elapse(clock, 44_000)
    expect(sweptAtMs).toHaveLength(100)
  })

  test('goes on after a failure', async () => {
    const { clock, sweptAtMs } = sweeping([new Error('no'), 0])
    await elapse(clock, 100_000)
    expect(sweptAtMs).toHaveLength(2)
  })

  test('goes on after a store that never answered, which is told', async () => {
    const clock = new VirtualClock()
    let sweeps = 0
    const sweep = (): Promise<number> => (sweeps++ === 0 ? new Promise(() => {}) : Promise.resolve(0))
    const store = Object.assign(new ScriptedStore(clock), { sweep })
    const dedup = createDeduplicator({ store, consumerGroup: GROUP, clock, sweepEveryMs: 1000 })
    const told: unknown[] = []
    dedup.on('storeError', ({ operation, error }) => told.push([operation, error.code]))
    await dedup.open()
    await elapse(clock, 40_000)
    expect(told).toEqual([['sweep', 'ONCEMQ_STORE_TIMEOUT']])
    expect(sweeps).toBeGreaterThan(3)
  })

  test('ends at close, also in the middle of a step', async () => {
    const { clock, sweeper, sweptAtMs } = sweeping([1000])
    await elapse(clock, 45_000)
    sweeper.close()
    await elapse(clock, 10 * EVERY_MS)
    expect([sweptAtMs.length, clock.nextInMs]).toEqual([1, undefined])
  })

  test('is left to others where that is asked for', () => {
    expect(sweeping([0], 0).clock.nextInMs).toBeUndefined()
  })
})
