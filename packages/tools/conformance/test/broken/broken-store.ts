import type { MapStore } from '../map-store.ts'

/** A store that is wrong in one way, and the properties whose cases must notice it. */
export interface BrokenStore {
  readonly fault: string
  readonly caughtBy: readonly string[]
  readonly Store: typeof MapStore
}
