import { createDeduplicator, recordId } from '@oncemq/core'
import type { Deduplicator } from '@oncemq/core'
import { MongoStore } from '@oncemq/mongodb'
import { afterEach, expect } from 'vitest'

/** How long a test waits at most for what is to happen by itself. */
export const BOUND = { timeout: 20_000, interval: 20 }

const WORKERS = 16
const PROGRESS = 100

const loads = new Set<Load>()

afterEach(async () => {
  await Promise.all([...loads].map((load) => load.stop()))
})

/** A consumer under load: keys without end, a few at a time, each delivered again until it is acked. */
export class Load {
  readonly dedup: Deduplicator
  readonly acked: string[] = []
  /** How often the handler of each key ran. */
  readonly runs = new Map<string, number>()
  readonly #workers: readonly Promise<void>[]
  #stopped = false

  private constructor(dedup: Deduplicator) {
    this.dedup = dedup
    this.#workers = Array.from({ length: WORKERS }, (_, worker) => this.#work(worker))
    loads.add(this)
  }

  static async start(url: string, collection: string): Promise<Load> {
    const store = new MongoStore({ url, collection, timeoutMs: 500 })
    const dedup = createDeduplicator({ store, consumerGroup: 'load', storeTimeoutMs: 1000, leaseMs: 20_000 })
    await dedup.open()
    return new Load(dedup)
  }

  async stop(): Promise<void> {
    loads.delete(this)
    this.#stopped = true
    await Promise.all(this.#workers)
    await this.dedup.close()
  }

  async #work(worker: number): Promise<void> {
    for (let message = 0; !this.#stopped; message += 1) await this.#deliver(`${worker}-${message}`)
  }

  async #deliver(key: string): Promise<void> {
    while (!this.#stopped) {
      const { status } = await this.dedup.process({ key }, () => {
        this.runs.set(key, (this.runs.get(key) ?? 0) + 1)
      })
      if (status === 'completed' || status === 'duplicate') return void this.acked.push(key)
      await this.dedup.available()
    }
  }
}

/** Answers when some more messages have been acked. */
export async function progress({ acked }: Load): Promise<void> {
  const before = acked.length
  await expect.poll(() => acked.length, BOUND).toBeGreaterThan(before + PROGRESS)
}

/** Ends the load. Every acked key is done in the collection, and each ran once. */
export async function expectNothingLost(load: Load, url: string, collection: string): Promise<void> {
  await load.stop()
  const store = new MongoStore({ url, collection })
  await store.open()
  const records = await store.inspect(load.acked.map((key) => recordId('load', key)))
  await store.close()
  expect(load.acked.filter((_, position) => records[position]?.state !== 'done')).toEqual([])
  expect([...load.runs].filter(([, count]) => count > 1)).toEqual([])
}
