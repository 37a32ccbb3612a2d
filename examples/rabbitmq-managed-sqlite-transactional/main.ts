// Money moves between two accounts: the transfer and the record of it commit together. Three transfers are
// sent twice, and one of them fails in the middle at first.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { connect } from 'amqplib'
import { createDeduplicator } from '@oncemq/core'
import { consume } from '@oncemq/rabbitmq'
import { SqliteStore } from '@oncemq/sqlite'

interface Transfer {
  readonly id: string
  readonly from: string
  readonly to: string
  readonly cents: number
}

const url = process.env['ONCEMQ_RABBITMQ_URL'] ?? process.env['AMQP_URL'] ?? 'amqp://127.0.0.1:5672'
const folder = mkdtempSync(join(tmpdir(), 'oncemq-transfers-'))
const path = join(folder, 'bank.db')
const queue = basename(folder)
const transfers: readonly Transfer[] = [
  { id: 'transfer-1', from: 'alice', to: 'bob', cents: 2500 },
  { id: 'transfer-2', from: 'alice', to: 'bob', cents: 4000 },
  { id: 'transfer-3', from: 'bob', to: 'alice', cents: 500 },
]

const bank = new DatabaseSync(path)
bank.exec(`
  PRAGMA journal_mode = WAL;
  CREATE TABLE accounts (name TEXT PRIMARY KEY, cents INTEGER NOT NULL);
  INSERT INTO accounts VALUES ('alice', 10000), ('bob', 0);
`)
const connection = await connect(url)
const sender = await connection.createConfirmChannel()
await sender.assertQueue(queue, { expires: 60_000 })

/** Fails once, after the debit, as a process might that loses its network there. */
function stumble(transfer: Transfer, attempt: number): void {
  if (transfer.id !== 'transfer-2' || attempt > 1) return
  console.log(`${transfer.id} fails between debit and credit`)
  throw new Error('stumbled')
}

// #region transactional
const dedup = createDeduplicator({
  store: new SqliteStore({ path }),
  consumerGroup: 'bank',
  strategy: 'transactional',
})
const consumer = await consume({
  connection,
  queue,
  dedup,
  retry: { firstMs: 100 },
  handler: (message, { tx, attempt }) => {
    const transfer = JSON.parse(message.content.toString()) as Transfer
    tx.prepare('UPDATE accounts SET cents = cents - ? WHERE name = ?').run(transfer.cents, transfer.from)
    stumble(transfer, attempt) // fails once, to show that nothing is left of it
    tx.prepare('UPDATE accounts SET cents = cents + ? WHERE name = ?').run(transfer.cents, transfer.to)
  },
})
// #endregion

const allEnded = new Promise<void>((resolve) => {
  const look = (): void => {
    const { completed, duplicate } = dedup.counts()
    if (completed + duplicate === 2 * transfers.length) resolve()
  }
  dedup.on('completed', look)
  dedup.on('duplicate', look)
})
for (const transfer of [...transfers, ...transfers]) {
  sender.sendToQueue(queue, Buffer.from(JSON.stringify(transfer)), {
    messageId: transfer.id,
    persistent: true,
  })
}
await allEnded
const { completed, duplicate } = dedup.counts()
console.log(
  `${2 * transfers.length} messages, ${completed} transfers committed, ${duplicate} duplicates acked`,
)

// #region close
await consumer.close() // takes no further messages, and waits for the handlers that run
await dedup.close()
// #endregion
await sender.deleteQueue(queue)
await connection.close()
for (const { name, cents } of bank.prepare('SELECT name, cents FROM accounts ORDER BY name').all()) {
  console.log(`${String(name)} has ${(Number(cents) / 100).toFixed(2)} EUR`)
}
bank.close()
rmSync(folder, { recursive: true })
