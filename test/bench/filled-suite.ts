import { createDeduplicator } from '@oncemq/core'
import { systemRandom } from '@oncemq/core/store'
import type { ClaimUpdate } from '@oncemq/core/store'
import type { Store } from '@oncemq/core'
import { forDuration, interleaved, timed } from './measure.ts'
import type { Variant } from './measure.ts'
import { reported } from './report.ts'
import type { Row } from './report.ts'
import type { Settings } from './settings.ts'
import type { BenchStore, OpenBenchStore } from './stores/bench-store.ts'

const IN_FLIGHT = 256
const DAY_MS = 86_400_000

const random = systemRandom()

/** Whether a store stays quick when it is full of keys: an empty one against one that holds many, in turn. */
export async function benchFilled(subject: BenchStore, settings: Settings): Promise<readonly Row[]> {
  const empty = await subject.open()
  const filled = await subject.open()
  const toEmpty = await variant('empty', empty, settings)
  const toFilled = await variant('filled', filled, settings)
  await fill(filled.store, settings.keys)
  const runs = await interleaved([toEmpty, toFilled], settings.rounds)
  await empty.close()
  await filled.close()
  return reported({ suite: 'filled', broker: null, store: subject.name, inFlight: IN_FLIGHT }, runs)
}

async function variant(
  name: string,
  { store, processes }: OpenBenchStore,
  { durationMs }: Settings,
): Promise<Variant> {
  const dedup = createDeduplicator({ store, consumerGroup: 'bench', sweepEveryMs: 0 })
  await dedup.open()
  let series = 0
  const run = () => {
    series += 1
    const prefix = `${series}-`
    const handle = (number: number) => dedup.process({ key: prefix + number }, () => undefined)
    return timed(() => forDuration(IN_FLIGHT, durationMs, handle), { server: processes })
  }
  return { name, run }
}

/** Puts done keys into a store, in its own largest batches, as many at a time as it takes. */
async function fill(store: Store, keys: number): Promise<void> {
  const { batchMax, batchesInFlightMax } = store.batching
  let left = keys
  const lane = async (): Promise<void> => {
    while (left > 0) {
      const count = Math.min(left, batchMax)
      left -= count
      await putDone(store, left, count)
    }
  }
  await Promise.all(Array.from({ length: batchesInFlightMax }, lane))
}

async function putDone(store: Store, first: number, count: number): Promise<void> {
  const batch = Array.from({ length: count }, (_, number) => ({
    id: random.claimId(),
    claimId: random.claimId(),
    leaseMs: DAY_MS,
    retentionMs: DAY_MS,
    fingerprint: undefined,
    label: `bench/filled-${first + number}`,
  }))
  await store.claim(batch)
  await store.update(batch.map(completionOf))
}

function completionOf({ id, claimId }: { id: string; claimId: string }): ClaimUpdate {
  return { op: 'complete', id, claimId, retentionMs: DAY_MS, result: undefined }
}
