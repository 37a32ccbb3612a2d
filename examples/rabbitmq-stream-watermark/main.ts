// The offset up to which a stream is done commits together with the effects: one row, and no record of any
// message. Three transfers are consumed, of which one fails in the middle, once; then a consumer that knows
// nothing of the first one goes on with the fourth.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from 'amqplib'
import { createDeduplicator, watermark } from '@oncemq/core'
import { consume } from '@oncemq/rabbitmq'
import { SqliteStore } from '@oncemq/sqlite'

interface Transfer {
  readonly from: string
  readonly to: string
  readonly cents: number
}

const url = process.env['ONCEMQ_RABBITMQ_URL'] ?? process.env['AMQP_URL'] ?? 'amqp://127.0.0.1:5672'
const folder = mkdtempSync(join(tmpdir(), 'oncemq-stream-'))
const path = join(folder, 'bank.db')
const stream = basename(folder)

const bank = new DatabaseSync(path)
bank.exec(`
  PRAGMA journal_mode = WAL;
  CREATE TABLE accounts (name TEXT PRIMARY KEY, cents INTEGER NOT NULL);
  INSERT INTO accounts VALUES ('alice', 10000), ('bob', 0);
`)
const connection = await connect(url)
const sender = await connection.createConfirmChannel()
// #region declare
await sender.assertQueue(stream, { durable: true, arguments: { 'x-queue-type': 'stream' } })
// #endregion

async function send(...amounts: readonly number[]): Promise<void> {
  for (const cents of amounts) {
    sender.sendToQueue(stream, Buffer.from(JSON.stringify({ from: 'alice', to: 'bob', cents })))
  }
  await sender.waitForConfirms()
}

let stumbles = 1
function stumble(): void {
  if (stumbles-- > 0) throw new Error('stumbled in the middle')
}

/** Consumes until that many messages are done by this consumer. */
async function consumeUntil(done: number): Promise<void> {
  // #region watermark
  const dedup = createDeduplicator({
    store: new SqliteStore({ path }),
    consumerGroup: 'bank',
    strategy: watermark(),
  })
  const consumer = await consume({
    connection,
    queue: stream,
    dedup,
    retry: { firstMs: 100 },
    handler: (message, { tx }) => {
      const { from, to, cents } = JSON.parse(message.content.toString()) as Transfer
      tx.prepare('UPDATE accounts SET cents = cents - ? WHERE name = ?').run(cents, from)
      stumble() // fails once, to show that nothing is left of it
      tx.prepare('UPDATE accounts SET cents = cents + ? WHERE name = ?').run(cents, to)
    },
  })
  // #endregion
  while (dedup.counts().completed < done) await delay(20)
  await consumer.close()
  const { completed, failed } = dedup.counts()
  console.log(`${completed} done, ${failed} failed runs`)
  await dedup.close()
}

await send(2500, 1000, 500)
await consumeUntil(3)
await send(2000)
await consumeUntil(1)

await sender.deleteQueue(stream)
await connection.close()
for (const { name, cents } of bank.prepare('SELECT name, cents FROM accounts ORDER BY name').all()) {
  console.log(`${String(name)} has ${(Number(cents) / 100).toFixed(2)} EUR`)
}
const log = bank.prepare('SELECT next_offset FROM oncemq_logs').get()
console.log(`the stream is done up to offset ${String(log?.['next_offset'])}`)
bank.close()
rmSync(folder, { recursive: true })
