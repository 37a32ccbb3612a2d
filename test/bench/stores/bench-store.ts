import type { Store } from '@oncemq/core'
import type { Processes } from '../processor-time.ts'

/** How people do it without a library: one statement to claim, one to complete, a message at a time. */
export interface Naive {
  /** Claims and completes one key, each by a round trip of its own. */
  handle(key: string): Promise<unknown>
}

/** A store that is measured, on a server of its own, with what it is measured against. */
export interface BenchStore {
  readonly name: string
  /** Starts its server, if it has one, and connects. Each call begins empty. */
  open(): Promise<OpenBenchStore>
}

export interface OpenBenchStore {
  readonly store: Store
  readonly naive: Naive
  /** Of its server; none if it has none. */
  readonly processes: Processes
  close(): Promise<void>
}
