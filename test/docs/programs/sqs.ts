// An AWS Lambda function that SQS calls, called here as SQS calls it.
import { createDeduplicator, MemoryStore } from '@oncemq/core'

let failures = 1

async function ship(order: string): Promise<void> {
  if (order === 'order-8' && failures-- > 0) throw new Error('the warehouse does not answer')
  console.log(`shipped ${order}`)
}

// #region handler
interface SqsEvent {
  readonly Records: readonly { readonly messageId: string; readonly body: string }[]
}

// These waits end before the function's own time does, and the queue's visibility timeout after that.
const dedup = createDeduplicator({
  store: new MemoryStore(), // for a real one, a store that all instances share
  consumerGroup: 'shipping',
  busyTimeoutMs: 2000,
  outageHoldMs: 2000,
})

export async function handler({ Records }: SqsEvent) {
  const batchItemFailures: { itemIdentifier: string }[] = []
  for (const { messageId, body } of Records) {
    try {
      const { id, order } = JSON.parse(body) as { id: string; order: string }
      if (typeof id !== 'string') throw new TypeError('an event without an id')
      const { status } = await dedup.run(`orders:${id}`, () => ship(order))
      if (status === 'busy') batchItemFailures.push({ itemIdentifier: messageId })
    } catch (error) {
      console.log(error instanceof Error ? error.message : error)
      batchItemFailures.push({ itemIdentifier: messageId })
    }
  }
  return { batchItemFailures }
}
// #endregion

const record = (messageId: string, order: string) => ({
  messageId,
  body: JSON.stringify({ id: `${order}:paid`, order }),
})
const first = [record('m1', 'order-7'), record('m2', 'order-7'), record('m3', 'order-8')]
console.log(JSON.stringify(await handler({ Records: first })))
console.log(JSON.stringify(await handler({ Records: [record('m3', 'order-8'), record('m1', 'order-7')] })))
await dedup.close()
