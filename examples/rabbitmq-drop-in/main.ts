// A consumer that stays as it was: its channel is wrapped. Three payments are sent twice and charged once.
/* oxlint-disable typescript/no-misused-promises -- consumers of amqplib are async callbacks everywhere */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { ConsumeMessage } from 'amqplib'
import { connect } from 'amqplib'
// #region imports
import { createDeduplicator } from '@oncemq/core'
import { dedupChannel } from '@oncemq/rabbitmq'
import { SqliteStore } from '@oncemq/sqlite'
// #endregion

const url = process.env['ONCEMQ_RABBITMQ_URL'] ?? process.env['AMQP_URL'] ?? 'amqp://127.0.0.1:5672'
const folder = mkdtempSync(join(tmpdir(), 'oncemq-drop-in-'))
const path = join(folder, 'oncemq.db')
const queue = basename(folder)
const payments = ['payment-1', 'payment-2', 'payment-3']
let charges = 0

async function charge(message: ConsumeMessage): Promise<void> {
  charges += 1
  console.log(`charged ${message.content.toString()}`)
}

const connection = await connect(url)
const sender = await connection.createConfirmChannel()
await sender.assertQueue(queue, { expires: 60_000 })

// #region consume
const dedup = createDeduplicator({ store: new SqliteStore({ path }), consumerGroup: 'billing' })

const channel = dedupChannel(await connection.createChannel(), dedup) // the line that changes
await channel.prefetch(100)
await channel.consume(queue, async (message) => {
  if (message === null) return
  await charge(message)
  channel.ack(message)
})
// #endregion

// #region send
/** The id is the payment's own, so every copy of it has the same. */
function send(payment: string): void {
  sender.sendToQueue(queue, Buffer.from(payment), { messageId: payment, persistent: true })
}
// #endregion

const allEnded = new Promise<void>((resolve) => {
  const look = (): void => {
    const { completed, duplicate } = dedup.counts()
    if (completed + duplicate === 2 * payments.length) resolve()
  }
  dedup.on('completed', look)
  dedup.on('duplicate', look)
})
for (const payment of [...payments, ...payments]) send(payment)
await allEnded
console.log(
  `${2 * payments.length} messages, ${charges} charges, ${dedup.counts().duplicate} duplicates acked`,
)

await channel.close()
await sender.deleteQueue(queue)
await connection.close()
await dedup.close()
rmSync(folder, { recursive: true })
