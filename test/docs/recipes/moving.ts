// A consumer that moves to another store: it asks the old one whether a message was done there.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { connect } from 'amqplib'
import type { Deduplicator } from '@oncemq/core'
import { createDeduplicator } from '@oncemq/core'
import { consume } from '@oncemq/rabbitmq'
import { SqliteStore } from '@oncemq/sqlite'

const folder = mkdtempSync(join(tmpdir(), 'oncemq-docs-'))
const [oldPath, newPath] = [join(folder, 'old.db'), join(folder, 'new.db')]
const queue = `recipe-moving-${process.pid}`
const url = process.env['AMQP_URL'] ?? ''
const connection = await connect(url)
const sender = await connection.createConfirmChannel()
await sender.assertQueue(queue, { expires: 60_000 })

function charge(message: { content: Buffer }): void {
  console.log(`charged ${message.content.toString()}`)
}

async function sent(order: string, dedup: Deduplicator): Promise<void> {
  const { completed } = dedup.counts()
  sender.sendToQueue(queue, Buffer.from(order), { messageId: order, persistent: true })
  for (let looks = 0; looks < 1000 && dedup.counts().completed === completed; looks += 1) await setTimeout(20)
}

const before = createDeduplicator({ store: new SqliteStore({ path: oldPath }), consumerGroup: 'billing' })
const first = await consume({ connection, queue, dedup: before, handler: charge })
await sent('order-1', before)
await first.close()
await before.close()

// #region moving
const old = createDeduplicator({ store: new SqliteStore({ path: oldPath }), consumerGroup: 'billing' })
const dedup = createDeduplicator({ store: new SqliteStore({ path: newPath }), consumerGroup: 'billing' })

const consumer = await consume({
  connection,
  queue,
  dedup,
  handler: async (message, { key }) => {
    // Until the retention of the last message that was done there is over.
    const record = key === undefined ? undefined : await old.inspect(key, { source: queue })
    if (record?.state === 'done') return console.log(`${key} was done before`)
    charge(message)
  },
})
// #endregion
for (const order of ['order-1', 'order-2']) await sent(order, dedup)

await consumer.close()
for (const each of [dedup, old]) await each.close()
await sender.deleteQueue(queue)
await connection.close()
rmSync(folder, { recursive: true })
