/** What stands in the log of a partition: records of one producer, or the end of a transaction. */
export interface LogEntry {
  readonly producerId: bigint | string
  readonly lastOffset: bigint
  readonly isTransactional: boolean
  /** How the producer's transaction has ended, of an entry that says so. */
  readonly end: 'abort' | 'commit' | undefined
}

/** A transaction that is known to have been aborted. */
export interface AbortedTransaction {
  readonly producerId: bigint | string
  readonly firstOffset: bigint
}

/** Of an entry that is an end, `'end'`; of a record that waits for what is not here yet, `'open'`. */
export type Fate = 'committed' | 'aborted' | 'open' | 'end'

/**
 * What became of entries that follow each other in a log. What ends a transaction stands after its records,
 * so they are read from the last one on. `beyond` is for records whose transaction ends after all of them,
 * unless it is one of those that were aborted.
 */
export function fatesOf(
  entries: readonly LogEntry[],
  aborted: readonly AbortedTransaction[],
  beyond: 'committed' | 'open',
): readonly Fate[] {
  const ended = entries.filter(({ end }) => end !== undefined)
  const lastEnds = new Map(ended.map(({ producerId, lastOffset }) => [producerId, lastOffset]))
  const next = new Map<LogEntry['producerId'], Fate>()
  for (const { producerId, firstOffset } of aborted) {
    if (firstOffset > (lastEnds.get(producerId) ?? -1n)) next.set(producerId, 'aborted')
  }
  const fates: Fate[] = []
  for (const { producerId, isTransactional, end } of entries.toReversed()) {
    if (end !== undefined) next.set(producerId, end === 'abort' ? 'aborted' : 'committed')
    if (end !== undefined) fates.push('end')
    else fates.push(isTransactional ? (next.get(producerId) ?? beyond) : 'committed')
  }
  return fates.toReversed()
}

/** The key of a record that ends a transaction: its version, and how. */
export function endOf(key: Buffer | null | undefined): 'abort' | 'commit' {
  return key !== null && key !== undefined && key.length >= 4 && key.readInt16BE(2) === 0 ? 'abort' : 'commit'
}
