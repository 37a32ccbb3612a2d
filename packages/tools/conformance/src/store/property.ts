import type { StoreContext } from './context.ts'

/** One thing that every store must keep, as cases that run without a test runner too. */
export interface StoreProperty {
  readonly name: string
  readonly cases: readonly StoreCase[]
}

export interface StoreCase {
  readonly name: string
  /** The case is skipped, with its reason, on a store that is not this. */
  readonly needs?: StoreNeed
  /** Rejects when the store does not keep the property. */
  run(context: StoreContext): Promise<void>
}

export type StoreNeed = 'durable' | 'sweeping' | 'transactional'
