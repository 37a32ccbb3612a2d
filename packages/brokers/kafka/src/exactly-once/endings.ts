import type { ProducerTransaction, TopicPartition } from '../clients/port.ts'

/** What this process knows of a transaction of a partition. */
interface Ending {
  /** Where the group was before it. */
  readonly from: bigint
  /** Where it has written to. */
  readonly outputs: readonly TopicPartition[]
}

/** What this process knows of the last transactions of a partition. */
export interface LastEndings {
  /** The last one that the broker has said is committed. `next` is where the group is after it. */
  committed?: (Ending & { readonly next: bigint }) | undefined
  /** One after that, which has written somewhere, and was aborted or not heard of again. */
  open?: Ending | undefined
}

/** By transactional id. */
export type Endings = Map<string, LastEndings>

/** How transactions are ended once more. */
export interface Settlement {
  readonly end: 'commit' | 'abort'
  readonly outputs: readonly TopicPartition[]
}

/**
 * What may have been left open though the broker has said that it is over. A broker of Kafka 4 forgets to
 * write the end of a transaction into partitions that have no leader at that moment, as on a single node that
 * was killed (KAFKA-20734): into those of its outputs, into that of the group's offsets, or both. What stands
 * there ends with the next transaction of the same transactional id that comes there, and as that one does.
 *
 * `next` is where the group is: what was committed is committed once more, where the group is before it or
 * after it; what runs again is aborted once more.
 */
export function settlementOf({ committed, open }: LastEndings, next: bigint): Settlement | undefined {
  if (open?.from === next) return { end: 'abort', outputs: open.outputs }
  const outputs = committed?.outputs ?? []
  if (committed === undefined || ![committed.from, committed.next].includes(next)) return undefined
  if (open === undefined) return { end: 'commit', outputs }
  // Outputs of the one that was committed may have been aborted with those of the next: it runs again.
  return { end: 'abort', outputs: [...outputs, ...open.outputs] }
}

/** Writes nothing: the end alone is told to all. */
export async function settle(
  { end, outputs }: Settlement,
  groupId: string,
  transaction: ProducerTransaction,
): Promise<void> {
  await transaction.include(outputs)
  await transaction.sendOffsets(groupId, [])
  await transaction[end]()
}
