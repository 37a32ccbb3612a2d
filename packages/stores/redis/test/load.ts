import { createDeduplicator, recordId } from '@oncemq/core'
import type { RedisStoreOptions } from '@oncemq/redis'
import { RedisStore } from '@oncemq/redis'
import { afterEach, vi } from 'vitest'

export const BOUND = { timeout: 20_000, interval: 20 }

const WORKERS = 16

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

/** Runs `end` after the test. */
export function afterTest(end: () => Promise<unknown>): void {
  ends.push(end)
}

/** A consumer under load: keys without end, a few at a time, and what it has acked so far. */
export class Load {
  readonly acked: string[] = []
  readonly runs = new Map<string, number>()
  readonly dedup
  readonly #options: RedisStoreOptions
  readonly #workers: readonly Promise<void>[]
  #stopped = false

  private constructor(options: RedisStoreOptions, dedup: ReturnType<typeof createDeduplicator>) {
    this.#options = options
    this.dedup = dedup
    this.#workers = Array.from({ length: WORKERS }, (_, worker) => this.#work(worker))
  }

  static async start(options: RedisStoreOptions): Promise<Load> {
    const store = new RedisStore({ callTimeoutMs: 500, ...options })
    const dedup = createDeduplicator({ store, consumerGroup: 'load', storeTimeoutMs: 1000, leaseMs: 20_000 })
    await dedup.open()
    const load = new Load(options, dedup)
    afterTest(() => load.stop())
    return load
  }

  /** Waits until some more are acked. */
  async progress(): Promise<void> {
    const before = this.acked.length
    await vi.waitUntil(() => this.acked.length > before + 100, BOUND)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#workers)
    await this.dedup.close()
  }

  /** Stops, and answers what must not be: keys that were acked and are not done, and keys that ran twice. */
  async wrongs(): Promise<{ lost: string[]; repeated: string[] }> {
    await this.stop()
    const store = new RedisStore(this.#options)
    await store.open()
    const records = await store.inspect(this.acked.map((key) => recordId('load', key)))
    await store.close()
    return {
      lost: this.acked.filter((_, position) => records[position]?.state !== 'done'),
      repeated: [...this.runs].filter(([, count]) => count > 1).map(([key]) => key),
    }
  }

  async #work(worker: number): Promise<void> {
    for (let message = 0; !this.#stopped; message += 1) await this.#deliver(`${worker}-${message}`)
  }

  /** As a broker does: what was not acked comes again. */
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
