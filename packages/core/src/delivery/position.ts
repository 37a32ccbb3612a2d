/** Where a message stands in a log: for strategies to which the log's order says what is done. */
export interface Position {
  readonly log: TakenLog
  readonly offset: bigint
}

/** One partition of a topic, of one consumer group. */
export interface LogRequest {
  readonly groupId: string
  readonly topic: string
  readonly partition: number
}

/**
 * A log that the broker has given to this consumer, as it has taken it from whoever had it before. Its records
 * are handled one after the other, so that one number says which of them are done.
 */
export interface TakenLog {
  /** The offset after the last record that took effect, where to go on; `undefined` while there is none. */
  readonly next: bigint | undefined
  /**
   * Aborts when the log turns out to be another worker's, or not to be as it was left here. Whoever still has
   * it of the broker takes it anew then, and goes on where that says.
   */
  readonly signal: AbortSignal
  /** For adapters, when a record is handed over: how many starts it had that nobody here knows of. */
  startsBefore(offset: bigint): number
  /**
   * Moves the log over what is settled without a transaction of its own: put aside, or nothing for a consumer.
   * Answers whether the log is still this consumer's. @throws OncemqError while that cannot be kept.
   */
  pass(next: bigint): Promise<boolean>
  /** Nothing of it runs here any more. Never rejects. */
  release(): Promise<void>
}
