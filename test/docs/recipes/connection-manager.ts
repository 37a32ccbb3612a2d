// A channel of amqp-connection-manager, which is set up again after each cut.
/* oxlint-disable typescript/no-misused-promises -- consumers of amqplib are async callbacks everywhere */
import { setTimeout } from 'node:timers/promises'
import { createDeduplicator, MemoryStore } from '@oncemq/core'
import { dedupChannel } from '@oncemq/rabbitmq'
import { connect } from 'amqp-connection-manager'
import type { ConfirmChannel } from 'amqplib'

const manager = connect([process.env['AMQP_URL'] ?? ''])
const queue = `recipe-manager-${process.pid}`
let charged = 0

async function charge(order: string): Promise<void> {
  charged += 1
  console.log(`charged ${order}`)
}

// #region setup
const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'billing' })

const channel = manager.createChannel({
  setup: async (raw: ConfirmChannel) => {
    const wrapped = dedupChannel(raw, dedup) // the line that changes; it is run again on each new channel
    await wrapped.assertQueue(queue, { durable: true })
    await wrapped.prefetch(16)
    await wrapped.consume(queue, async (message) => {
      if (message === null) return
      try {
        await charge(message.content.toString())
        wrapped.ack(message)
      } catch {
        wrapped.nack(message) // waits, is tried again, and is parked when its attempts are used up
      }
    })
  },
})
await channel.waitForConnect()
// #endregion

const send = (order: string): Promise<unknown> =>
  channel.sendToQueue(queue, Buffer.from(order), { messageId: order, persistent: true })
await send('order-7')
await send('order-7')
await duplicates(1)
console.log('the connection is cut')
const isBack = new Promise((resolve) => manager.once('connect', resolve))
manager.reconnect()
await isBack
await send('order-7')
await duplicates(2)
console.log(`charged ${charged} time`)

await channel.deleteQueue(queue)
await manager.close()
await dedup.close()

async function duplicates(many: number): Promise<void> {
  for (let looks = 0; looks < 500 && dedup.counts().duplicate < many; looks += 1) await setTimeout(20)
}
