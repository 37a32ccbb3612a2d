// Orders are booked and announced together, or not at all: RocketMQ's message transaction. The billing
// service charges each of them once: its effect commits together with the record of it. Needs the topic (of
// type TRANSACTION) and the consumer group that ONCEMQ_TOPIC and ONCEMQ_GROUP name.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createDeduplicator } from '@oncemq/core'
import { startClient, consume, stampKeys } from '@oncemq/rocketmq'
import { SqliteStore } from '@oncemq/sqlite'
import { Producer, SimpleConsumer } from 'rocketmq-client-nodejs'

const url = new URL(process.env['ONCEMQ_ROCKETMQ_URL'] ?? 'rocketmq://127.0.0.1:8081')
const topic = process.env['ONCEMQ_TOPIC'] ?? 'orders'
const consumerGroup = process.env['ONCEMQ_GROUP'] ?? 'billing'
const folder = mkdtempSync(join(tmpdir(), 'oncemq-transactions-'))
const path = join(folder, 'billing.db')
const logger = { info() {}, warn() {}, error() {}, debug() {}, close() {} }
const client = { endpoints: url.host, namespace: '', logger }
const COMMIT = 1
const ROLLBACK = 2

const shop = new DatabaseSync(join(folder, 'shop.db'))
shop.exec('CREATE TABLE orders (id TEXT PRIMARY KEY, cents INTEGER NOT NULL)')
const billing = new DatabaseSync(path)
billing.exec('PRAGMA journal_mode = WAL; CREATE TABLE charges (order_id TEXT, cents INTEGER NOT NULL)')

// #region producer
/** Asked by the broker about a half message that nobody committed: the order is there, or it is not. */
const checker = {
  check: async ({ keys: [id = ''] }: { keys: string[] }) =>
    shop.prepare('SELECT 1 FROM orders WHERE id = ?').get(id) === undefined ? ROLLBACK : COMMIT,
}
const producer = new Producer({ ...client, topics: [topic], checker })
await startClient(producer)

async function order(id: string, cents: number): Promise<void> {
  const transaction = producer.beginTransaction()
  await producer.send(stampKeys({ topic, body: Buffer.from(JSON.stringify({ id, cents })) }, id), transaction)
  try {
    if (cents <= 0) throw new Error('nothing to pay')
    shop.prepare('INSERT OR IGNORE INTO orders VALUES (?, ?)').run(id, cents)
  } catch {
    return transaction.rollback()
  }
  await transaction.commit()
}
// #endregion

// #region consumer
const dedup = createDeduplicator({
  store: new SqliteStore({ path }),
  consumerGroup: 'billing',
  strategy: 'transactional',
})
const consumer = await consume({
  consumer: new SimpleConsumer({
    ...client,
    consumerGroup,
    subscriptions: new Map([[topic, '*']]),
    awaitDuration: 5000,
  }),
  dedup,
  retry: { firstMs: 100 },
  handler: ({ body }, { tx, attempt }) => {
    const { id, cents } = JSON.parse(body.toString()) as { id: string; cents: number }
    tx.prepare('INSERT INTO charges VALUES (?, ?)').run(id, cents)
    if (id === 'order-2' && attempt === 1) throw new Error('fails once, to show that nothing is left of it')
  },
})
// #endregion

const ended = new Promise<void>((resolve) => {
  const look = (): void => {
    const { completed, duplicate } = dedup.counts()
    if (completed === 2 && duplicate === 1) resolve()
  }
  dedup.on('completed', look)
  dedup.on('duplicate', look)
})
await order('order-1', 2500)
await order('order-2', 4000)
await order('order-3', 0) // rolled back: never delivered
await order('order-1', 2500) // the caller's own retry: announced again, with the same key
await ended
for (const row of billing.prepare('SELECT order_id, cents FROM charges ORDER BY order_id').all()) {
  console.log(`${String(row['order_id'])} charged ${String(row['cents'])} cents`)
}
const { completed, failed, duplicate } = dedup.counts()
console.log(`${completed} charges, ${failed} failed attempt, ${duplicate} duplicate acked`)

await consumer.close()
await dedup.close()
await producer.shutdown()
billing.close()
shop.close()
rmSync(folder, { recursive: true })
