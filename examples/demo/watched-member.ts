import type { Consumer } from 'kafkajs'
import type { Watch } from './watched-channel.ts'

/**
 * Notes on a raw consumer what arrives and what is committed, below whatever is wrapped around it; and loses
 * commits where it is told to.
 */
export function watchMember(consumer: Consumer, { journal, losesAcks, delivered }: Watch): Consumer {
  const commitOffsets = consumer.commitOffsets.bind(consumer)
  const committed = new Map<number, number>()
  let lost = 0
  consumer.on(consumer.events.START_BATCH_PROCESS, ({ payload: { batchSize } }) => {
    journal.note('delivered', batchSize)
    for (let count = 0; count < batchSize; count += 1) delivered()
  })
  consumer.commitOffsets = async (offsets) => {
    if (losesAcks === undefined) {
      await commitOffsets(offsets)
      for (const { partition, offset } of offsets) {
        journal.note('acked', Number(offset) - (committed.get(partition) ?? 0))
        committed.set(partition, Number(offset))
      }
      return
    }
    lost += offsets.length
    if (lost === losesAcks.messages) losesAcks.lost()
    // Neither the commit nor an answer arrives.
    return new Promise(() => undefined)
  }
  return consumer
}
