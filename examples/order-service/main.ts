// An order service on RabbitMQ. Each order is sent twice and handled once, on whatever store `--store` names.
import { randomUUID } from 'node:crypto'
import { parseArgs } from 'node:util'
import { connect } from 'amqplib'
import { createDeduplicator } from '@oncemq/core'
import { consume } from '@oncemq/rabbitmq'
import { isStoreName, stores } from './stores.ts'

interface Order {
  readonly id: string
  readonly items: number
}

const ORDERS = 20
const IN_STOCK = 1000

const { store: name } = parseArgs({ options: { store: { type: 'string' } } }).values
if (!isStoreName(name)) {
  console.error(`--store: expected one of ${Object.keys(stores).join(', ')}`)
  process.exit(2)
}
const url = process.env['ONCEMQ_RABBITMQ_URL'] ?? process.env['AMQP_URL'] ?? 'amqp://127.0.0.1:5672'
const queue = `orders-${randomUUID()}`
const orders = Array.from({ length: ORDERS }, (_, index): Order => ({
  id: `${queue}-${index}`,
  items: 1 + index,
}))
let inStock = IN_STOCK

const connection = await connect(url)
const sender = await connection.createConfirmChannel()
await sender.assertQueue(queue, { expires: 60_000 })

// #region service
const dedup = createDeduplicator({ store: stores[name](), consumerGroup: 'orders' })
const consumer = await consume({
  connection,
  queue,
  dedup,
  handler: (message) => {
    const order = JSON.parse(message.content.toString()) as Order
    inStock -= order.items
  },
})
// #endregion

const allEnded = new Promise<void>((resolve) => {
  const look = (): void => {
    const { completed, duplicate } = dedup.counts()
    if (completed + duplicate === 2 * ORDERS) resolve()
  }
  dedup.on('completed', look)
  dedup.on('duplicate', look)
})
for (const order of [...orders, ...orders]) {
  const content = Buffer.from(JSON.stringify(order))
  sender.sendToQueue(queue, content, { messageId: order.id, persistent: true })
}
await allEnded
const { completed, duplicate } = dedup.counts()
console.log(`${ORDERS} orders, each sent twice: ${completed} handled, ${duplicate} duplicates acked`)
console.log(`in stock: ${IN_STOCK} before, ${inStock} after`)

await consumer.close()
await dedup.close()
await sender.deleteQueue(queue)
await connection.close()
