import { createDeduplicator } from '@oncemq/core'
import { recordId } from '@oncemq/core/store'
import type { Deduplicator, Store } from '@oncemq/core'
import { afterEach, vi } from 'vitest'

/** How long a test waits at most for what is to happen by itself. */
export const BOUND = { timeout: 20_000, interval: 20 }

export interface Wrongs {
  readonly lost: readonly string[]
  readonly repeated: readonly string[]
}

export const NOTHING_WRONG: Wrongs = { lost: [], repeated: [] }

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
  readonly #runs = new Map<string, number>()
  readonly #workers: readonly Promise<void>[]
  #stopped = false

  private constructor(dedup: Deduplicator) {
    this.dedup = dedup
    this.#workers = Array.from({ length: WORKERS }, (_, worker) => this.#work(worker))
    loads.add(this)
  }

  /** Starts it on a store of its own; it ends with the test at the latest. */
  static async start(store: Store): Promise<Load> {
    const dedup = createDeduplicator({ store, consumerGroup: 'load', storeTimeoutMs: 1000, leaseMs: 20_000 })
    await dedup.open()
    return new Load(dedup)
  }

  /** Answers when some more messages have been acked. */
  async progress(): Promise<void> {
    const before = this.acked.length
    await vi.waitUntil(() => this.acked.length > before + PROGRESS, BOUND)
  }

  async stop(): Promise<void> {
    loads.delete(this)
    this.#stopped = true
    await Promise.all(this.#workers)
    await this.dedup.close()
  }

  /**
   * Ends the load, and looks into `store`, another handle on its records: keys that were acked and are not
   * done, and keys that ran twice.
   */
  async wrongs(store: Store): Promise<Wrongs> {
    await this.stop()
    await store.open()
    const records = await store.inspect(this.acked.map((key) => recordId('load', key)))
    await store.close()
    return {
      lost: this.acked.filter((_, position) => records[position]?.state !== 'done'),
      repeated: [...this.#runs].filter(([, count]) => count > 1).map(([key]) => key),
    }
  }

  async #work(worker: number): Promise<void> {
    for (let message = 0; !this.#stopped; message += 1) await this.#deliver(`${worker}-${message}`)
  }

  async #deliver(key: string): Promise<void> {
    while (!this.#stopped) {
      const { status } = await this.dedup.process({ key }, () => {
        this.#runs.set(key, (this.#runs.get(key) ?? 0) + 1)
      })
      if (status === 'completed' || status === 'duplicate') return void this.acked.push(key)
      await this.dedup.available()
    }
  }
}
