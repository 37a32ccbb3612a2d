import type { TakenLog } from '../strategies/watermark/taken-log.ts'

/** Where a message stands in a log: for strategies to which the log's order says what is done. */
export interface Position {
  /** The partition or stream as this consumer has taken it. */
  readonly log: TakenLog
  readonly offset: bigint
}
