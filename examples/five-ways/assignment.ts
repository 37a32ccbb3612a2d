import type { Fault } from './watch.ts'
import type { WayName } from './ways/index.ts'

/** What a worker process is told at its start. */
export interface Assignment {
  readonly way: WayName
  readonly queue: string
  /** The schema of its shop. */
  readonly schema: string
  /** Where the payment provider is. */
  readonly provider: string
  readonly fault: Fault
}
