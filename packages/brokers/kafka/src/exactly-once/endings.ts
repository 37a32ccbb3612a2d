import type { FencedProducer, Output, ProducerTransaction } from '../clients/port.ts'

/**
 * What this process knows of the last transaction of a partition: the broker has said that it is committed,
 * or it has written somewhere, and was aborted or not heard of again.
 */
export type Ending = {
  /** Where the group was before it. */
  readonly from: bigint
} & (
  | { readonly isCommitted: true }
  | {
      readonly isCommitted: false
      readonly outputs: readonly Output[]
    }
)

/** By transactional id. */
export type Endings = Map<string, Ending>

/**
 * Ends what a transaction may have left open though the broker has said that it is over. A broker of Kafka 4
 * forgets to write the end of one into partitions that have no leader at that moment, as on a single node
 * that was killed (KAFKA-20734): its offsets and outputs stay open then, and the next commit of the same
 * transactional id commits all of them, beside what a handler has sent once more.
 *
 * For a group that is where it was before: what was committed is committed once more, without anything new;
 * what runs again is aborted once more, wherever it has written to.
 */
export async function settle(
  ending: Ending,
  groupId: string,
  producer: FencedProducer,
  transaction: ProducerTransaction,
): Promise<void> {
  for (const { topic, message } of ending.isCommitted ? [] : ending.outputs) {
    try {
      await transaction.send(topic, [message])
    } catch (error) {
      // Where nothing can be written to any more, no commit can show it.
      if (producer.faultOf(error).kind !== 'refused') throw error
    }
  }
  await transaction.sendOffsets(groupId, [])
  await (ending.isCommitted ? transaction.commit() : transaction.abort())
}
