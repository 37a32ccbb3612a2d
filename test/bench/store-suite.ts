import { createDeduplicator } from '@oncemq/core'
import { forDuration, interleaved, timed, timedOneByOne } from './measure.ts'
import type { Settings } from './settings.ts'
import { reported } from './report.ts'
import type { Row } from './report.ts'
import type { BenchStore } from './stores/bench-store.ts'

const IN_FLIGHT = [1, 16, 64, 256, 1024]

/** Claims and completions of a store alone, batched by oncemq against naive ones. */
export async function benchStore(
  subject: BenchStore,
  { inFlight: numbers = IN_FLIGHT, rounds, durationMs }: Settings,
): Promise<readonly Row[]> {
  const opened = await subject.open()
  const { store, naive } = opened
  const watched = { server: opened.processes }
  const dedup = createDeduplicator({ store, consumerGroup: 'bench', sweepEveryMs: 0 })
  await dedup.open()
  let series = 0
  const handledBy = (inFlight: number, handle: (key: string) => Promise<unknown>) => () => {
    series += 1
    const prefix = `${series}-`
    const handleNext = (number: number) => handle(prefix + number)
    return inFlight === 1
      ? timedOneByOne(durationMs, handleNext, watched)
      : timed(() => forDuration(inFlight, durationMs, handleNext), watched)
  }
  const rows: Row[] = []
  for (const inFlight of numbers) {
    const runs = await interleaved(
      [
        { name: 'naive', run: handledBy(inFlight, (key) => naive.handle(key)) },
        { name: 'oncemq', run: handledBy(inFlight, (key) => dedup.process({ key }, () => undefined)) },
      ],
      rounds,
    )
    rows.push(...reported({ suite: 'store', broker: null, store: subject.name, inFlight }, runs))
  }
  await dedup.close()
  await opened.close()
  return rows
}
