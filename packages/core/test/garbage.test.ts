import { GCProfiler } from 'node:v8'
import { expect, test } from 'vitest'

import { createDeduplicator, MemoryStore } from '../src/index.ts'

const IN_FLIGHT = 64
const DELIVERIES = 60_000
const ROUNDS = 3
const BYTES_MAX = 60

/** How many bytes the collector moves to the old generation while `work` is done. */
async function promotedBytes(work: () => Promise<void>): Promise<number> {
  const profiler = new GCProfiler()
  profiler.start()
  await work()
  const collections = profiler.stop()?.statistics ?? []
  const oldBytes = (heap: (typeof collections)[0]['beforeGC']): number =>
    heap.heapSpaceStatistics.find(({ spaceName }) => spaceName === 'old_space')?.spaceUsedSize ?? 0
  return collections
    .filter(({ gcType }) => gcType === 'Scavenge')
    .reduce((sum, { beforeGC, afterGC }) => sum + oldBytes(afterGC) - oldBytes(beforeGC), 0)
}

/**
 * What an old object holds stays until the whole heap is collected, also when both are garbage. A Map or Set
 * whose entries come and go, or a hidden class for each object, held all that belongs to a delivery: 400 to
 * 900 bytes of each, copied twice by the collector, which took as long as all the rest.
 */
test('deliveries leave nothing behind that only a collection of the whole heap takes away', async () => {
  const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'billing' })
  let next = 0
  const deliver = async (count: number): Promise<void> => {
    const until = next + count
    const one = async (): Promise<void> => {
      while (next < until) await dedup.process({ key: String(next++) }, () => undefined)
    }
    await Promise.all(Array.from({ length: IN_FLIGHT }, one))
  }
  await deliver(DELIVERIES)
  const rounds: number[] = []
  // What else grows old in this process does so in one of them.
  for (let round = 0; round < ROUNDS; round += 1) rounds.push(await promotedBytes(() => deliver(DELIVERIES)))
  expect(Math.min(...rounds) / DELIVERIES).toBeLessThan(BYTES_MAX)
  await dedup.close()
})
