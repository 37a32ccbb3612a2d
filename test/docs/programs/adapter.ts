// A whole broker adapter, for a queue in memory that delivers again what was not acked.
import type { Deduplicator, Handler } from '@oncemq/core'
import type { SettlementPolicy } from '@oncemq/core/broker'
import { createDeduplicator, MemoryStore } from '@oncemq/core'
import { retryDefaults, settlementOf } from '@oncemq/core/broker'

interface Message {
  readonly id: string
  readonly body: string
}

interface Queue {
  ack(message: Message): void
  redeliverLater(message: Message, delayMs: number): void
  moveToDeadLetters(message: Message, reason: string): void
}

// #region adapter
const policy: SettlementPolicy = { retry: { ...retryDefaults, firstMs: 10 }, onUnconfirmed: 'ack' }

/** One delivery: read the key once, let the core decide, and tell the broker. */
async function onDelivery(queue: Queue, message: Message, dedup: Deduplicator, handler: Handler) {
  const outcome = await dedup.process({ key: message.id, body: Buffer.from(message.body) }, handler)
  const settlement = settlementOf(outcome, policy)
  switch (settlement.action) {
    case 'ack':
      return queue.ack(message)
    case 'retry':
      return queue.redeliverLater(message, settlement.delayMs)
    case 'dead-letter':
      return queue.moveToDeadLetters(message, settlement.reason)
  }
}
// #endregion

const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'mail', attemptsMax: 3 })
const { promise: allSettled, resolve } = Promise.withResolvers<void>()
let settled = 0

function settle(line: string): void {
  console.log(line)
  settled += 1
  if (settled === 3) resolve()
}

const queue: Queue = {
  ack: ({ id }) => settle(`ack ${id}`),
  moveToDeadLetters: ({ id }, reason) => settle(`dead-letter ${id}: ${reason}`),
  redeliverLater(message, delayMs) {
    console.log(`${message.id} again after ${delayMs} ms`)
    setTimeout(() => void deliver(message), delayMs)
  },
}

function deliver(message: Message): Promise<void> {
  return onDelivery(queue, message, dedup, ({ attempt }) => {
    console.log(`handler of ${message.id}, attempt ${attempt}`)
    if (message.id === 'm2') throw new Error('no luck')
  })
}

const m1 = { id: 'm1', body: 'hello' }
await deliver(m1)
await deliver(m1)
await deliver({ id: 'm2', body: 'hello' })
await allSettled
await dedup.close()
