import type { Deduplicator, DeduplicatorOptions } from '@oncemq/core'
import type { BrokerBench, ConsumeRequest, SuiteConsumer, SuiteDelivery } from './options.ts'
import type { SuiteStore } from './suite-store.ts'
import type { Latch, Waiting } from './waiting.ts'

/** What a case works with: a bench, a store that all its processes share, and what handlers saw. */
export interface BrokerContext extends Waiting {
  readonly bench: BrokerBench
  readonly store: SuiteStore
  /** A deduplicator on the shared store: that of another process. */
  readonly deduplicator: (options?: Partial<SuiteDedupOptions>) => Deduplicator
  /** Starts a consumer, which is closed at the end of the case. */
  readonly consume: (request: Partial<ConsumeRequest>) => Promise<SuiteConsumer>
  /** The deliveries that the default handler was given, in the order of its starts. */
  readonly seen: readonly SuiteDelivery[]
  /** What a handler waits for and the case gives; opened at the end of the case in any event. */
  readonly latch: () => Latch
  /** Sends bodies under keys: `a` is the key and the body, `a=x` sends `x` under `a`. */
  readonly send: (...messages: string[]) => Promise<void>
}

export type SuiteDedupOptions = Omit<DeduplicatorOptions, 'store' | 'consumerGroup' | 'strategy'>
