import type { StoreGuarantees } from '@oncemq/core/store'
import type { EndLock, LockKind, StoreEffects } from './options.ts'
import type { SuiteTime } from './time.ts'
import type { StoreWorker } from './worker.ts'

/** What a case works with: workers on one namespace of its own, new requests, and time. */
export interface StoreContext {
  readonly guarantees: StoreGuarantees
  readonly namespace: string
  readonly time: SuiteTime
  /** The first handle. */
  readonly worker: StoreWorker
  /** Another process: a further handle on the same records. */
  readonly another: () => Promise<StoreWorker>
  /** Puts something of somebody else in the place of this id's record. */
  readonly spoil: (id: string) => Promise<void>
  /** Puts these records into an open transaction of somebody else; answers how it is rolled back. */
  readonly lock: (ids: readonly string[], kind: LockKind) => Promise<EndLock | undefined>
  /** The user's own table. Fails if the options do not name one. */
  readonly effects: () => StoreEffects<unknown>
}
