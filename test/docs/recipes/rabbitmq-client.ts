// A consumer of rabbitmq-client that does its work once per message id.
import { setTimeout } from 'node:timers/promises'
import { createDeduplicator, MemoryStore } from '@oncemq/core'
import { Connection, ConsumerStatus } from 'rabbitmq-client'

const { hostname, port } = new URL(process.env['AMQP_URL'] ?? '')
const client = new Connection({ hostname, port, username: 'guest', password: 'guest' })
const queue = `recipe-client-${process.pid}`
let failures = 1

async function ship(order: string): Promise<void> {
  if (order === 'order-8' && failures-- > 0) throw new Error('the warehouse does not answer')
  console.log(`shipped ${order}`)
}

// #region consumer
const dedup = createDeduplicator({
  store: new MemoryStore(),
  consumerGroup: 'shipping',
  outageHoldMs: 600_000,
})

const queueOptions = {
  durable: true,
  arguments: {
    'x-queue-type': 'quorum' as const,
    'x-delivery-limit': 10, // what ends a message that always fails
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': `${queue}.dead`, // without these two, the broker deletes it
  },
}

const consumer = client.createConsumer(
  { queue, queueOptions, qos: { prefetchCount: 16 } },
  async (message) => {
    const { messageId } = message
    if (messageId === undefined) return ConsumerStatus.DROP // without an id nothing can be told apart
    try {
      const { status } = await dedup.run(`${queue}:${messageId}`, () => ship(String(message.body)))
      if (status !== 'busy') return ConsumerStatus.ACK
    } catch (error) {
      console.log(error instanceof Error ? error.message : error)
    }
    await setTimeout(1000) // the broker hands it out again at once
    return ConsumerStatus.REQUEUE
  },
)
// #endregion

await client.queueDeclare({ queue: `${queue}.dead`, durable: true })
await new Promise((resolve) => consumer.on('ready', resolve as () => void))
const publisher = client.createPublisher({ confirm: true })
const send = (messageId: string | undefined, order: string): Promise<void> =>
  publisher.send({ routingKey: queue, ...(messageId !== undefined && { messageId }) }, order)
for (const order of ['order-7', 'order-7', 'order-8']) await send(order, order)
await send(undefined, 'order-9')

async function deadLetters(): Promise<number> {
  return (await client.queueDeclare({ queue: `${queue}.dead`, passive: true })).messageCount
}
for (let looks = 0; looks < 1000; looks += 1) {
  const { completed, duplicate } = dedup.counts()
  if (completed === 2 && duplicate === 1 && (await deadLetters()) === 1) break
  await setTimeout(20)
}
const { completed, duplicate } = dedup.counts()
console.log(`${completed} done, ${duplicate} duplicate, ${await deadLetters()} without an id`)

await consumer.close()
for (const each of [queue, `${queue}.dead`]) await client.queueDelete({ queue: each })
await publisher.close()
await client.close()
await dedup.close()
