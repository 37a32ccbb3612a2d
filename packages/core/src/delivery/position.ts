import type { AdvanceUpdate, Store } from '../store/contract.ts'
import type { TimedCalls } from '../store/guarded-store.ts'
import type { Clock } from '../time/clock.ts'

/** Where a message stands in a log: for strategies to which the log's order says what is done. */
export interface Position<Log extends TakenLog = TakenLog> {
  /** The partition or stream as this consumer has taken it. */
  readonly log: Log
  readonly offset: bigint
}

/**
 * A log that the broker has given to this consumer, as it was taken. Its records are handled one after the
 * other, so that one number says which of them are done.
 */
export interface TakenLog {
  /** The offset after the last record that took effect, where to go on; `undefined` while there is none. */
  readonly next: bigint | undefined
  /**
   * Aborts when what was taken turns out to be another worker's, or not to be as it was left here. Whoever
   * still has the log of the broker takes it anew then, and goes on where it says.
   */
  readonly signal: AbortSignal
  /** Whether what moves it moves the broker's own offset too, which is not to be committed besides. */
  readonly movesOffset?: boolean
  /** Whether the record took effect already. */
  isPast(offset: bigint): boolean
  /** For adapters, when a record is handed over: how many starts it had that nobody here knows of. */
  startsBefore(offset: bigint): number
  /**
   * Moves the log over what is settled without a transaction of its own: put aside, or nothing for a
   * consumer. While a record runs there is nothing to be done, since its own transaction moves the log
   * further. Answers whether the log is still this consumer's. @throws OncemqError while the store does not
   * answer.
   */
  pass(next: bigint): Promise<boolean>
  /** Nothing of it is started here any more. Never rejects: then the next one takes it for held. */
  release(): Promise<void>
}

/** A log that is moved in transactions of the store. */
export interface StoredLog extends TakenLog {
  /**
   * For strategies, before a start of the record. `attempt` is which start it is, where that is to be
   * counted. Its end is to be told by {@link ended}.
   * @throws OncemqError while the store does not answer.
   */
  begin(offset: bigint, attempt: number | undefined): Promise<'begun' | 'past' | 'lost'>
  /** For strategies: what moves the log past the record, in the transaction of its handler. */
  advance(offset: bigint): AdvanceUpdate
  /** For strategies: a start of the record has ended. `spared`: it was not the handler that ended it. */
  ended(offset: bigint, how: 'committed' | 'failed' | 'spared' | 'lost'): void
}

/** What a log is taken with. */
export interface LogRequest {
  readonly settings: {
    readonly consumerGroup: string
    readonly store: Store
    readonly storeReadableKey: boolean
    readonly storeTimeoutMs: number
    readonly clock: Clock
  }
  readonly store: TimedCalls
  /** Whether one of which nothing was handled begins with its oldest record, or with what comes next. */
  readonly fromBeginning: boolean
}

/** Moves the log over a message that was put aside. Never rejects; answers whether it could. */
export function passedOver({ log, offset }: Position): Promise<boolean> {
  return log.pass(offset + 1n).catch(() => false)
}
