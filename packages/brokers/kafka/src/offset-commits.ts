import type { Deduplicator } from '@oncemq/core'
import { backoffMs, errorNameOf, pause } from '@oncemq/core/broker'
import type { CommittedOffset } from './client.ts'
import type { ConsumedPartition } from './consumed-partition.ts'

/** Between two commits. What is settled and not committed is delivered again after a crash, as duplicates. */
const COMMIT_EVERY_MS = 200
const FAILED_BACKOFF = { firstMs: 250, factor: 2, maxMs: 10_000 }
/** How often the last offsets are tried: a group that rebalances takes none. */
const LAST_TRIES = 5

/** Commits what is settled, many offsets at a time, and again until it succeeds. */
export class OffsetCommits {
  readonly #commit: (offsets: readonly CommittedOffset[]) => Promise<unknown>
  readonly #dedup: Deduplicator<never>
  readonly #changed = new Set<ConsumedPartition>()
  readonly #flushing = new AbortController()
  #running: Promise<void> | undefined

  constructor(commit: (offsets: readonly CommittedOffset[]) => Promise<unknown>, dedup: Deduplicator<never>) {
    this.#commit = commit
    this.#dedup = dedup
  }

  changed(partition: ConsumedPartition): void {
    this.#changed.add(partition)
    this.#running ??= this.#run()
  }

  /** Commits at once what is left. What cannot be committed now will be delivered again. */
  async flush(): Promise<void> {
    this.#flushing.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { clock } = this.#dedup.settings
    const { signal } = this.#flushing
    for (let failures = 0; this.#changed.size > 0;) {
      if (failures === 0) await pause(clock, COMMIT_EVERY_MS, signal)
      else await pause(clock, backoffMs(FAILED_BACKOFF, failures - 1))
      const partitions = [...this.#changed].filter((partition) => !partition.signal.aborted)
      this.#changed.clear()
      try {
        if (partitions.length > 0) await this.#commitOf(partitions)
        failures = 0
      } catch (error) {
        failures += 1
        if (signal.aborted && failures >= LAST_TRIES) break
        if (failures === 2) this.#warn(error)
        for (const partition of partitions) this.#changed.add(partition)
      }
    }
    this.#running = undefined
  }

  async #commitOf(partitions: readonly ConsumedPartition[]): Promise<void> {
    const offsets = partitions.map(offsetOf)
    await this.#commit(offsets)
    for (const [index, partition] of partitions.entries()) partition.committed(offsets[index]?.offset ?? '')
  }

  /** While a group rebalances nothing can be committed: that is told only when it goes on. */
  #warn(error: unknown): void {
    this.#dedup.warn(`consume: offsets are not committed (${errorNameOf(error)}); trying again`)
  }
}

function offsetOf({ topic, partition, committable = '0' }: ConsumedPartition): CommittedOffset {
  return { topic, partition, offset: committable }
}
