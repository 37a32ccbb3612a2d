// A consumer that stays as it was: it is wrapped. Three payments are sent twice and charged once. Needs the
// topic and the consumer group that ONCEMQ_TOPIC and ONCEMQ_GROUP name.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
// #region imports
import { createDeduplicator } from '@oncemq/core'
import { startClient, dedupSimpleConsumer, stampKeys } from '@oncemq/rocketmq'
import { SqliteStore } from '@oncemq/sqlite'
import { Producer, SimpleConsumer } from 'rocketmq-client-nodejs'
// #endregion

const url = new URL(process.env['ONCEMQ_ROCKETMQ_URL'] ?? 'rocketmq://127.0.0.1:8081')
const topic = process.env['ONCEMQ_TOPIC'] ?? 'payments'
const consumerGroup = process.env['ONCEMQ_GROUP'] ?? 'billing'
const folder = mkdtempSync(join(tmpdir(), 'oncemq-rocketmq-'))
const path = join(folder, 'oncemq.db')
const logger = { info() {}, warn() {}, error() {}, debug() {}, close() {} }
const client = { endpoints: url.host, namespace: '', logger }
const payments = ['payment-1', 'payment-2', 'payment-3']
const charges: string[] = []

async function charge({ body }: { body: Buffer }): Promise<void> {
  charges.push(body.toString())
}

const producer = new Producer({ ...client, topics: [topic] })
await startClient(producer)

// #region send
/** The key is the payment's own, so every copy of it has the same. */
async function send(payment: string): Promise<void> {
  await producer.send(stampKeys({ topic, body: Buffer.from(payment) }, payment))
}
// #endregion

for (const payment of [...payments, ...payments]) await send(payment)

// #region consume
const dedup = createDeduplicator({ store: new SqliteStore({ path }), consumerGroup: 'billing' })

const subscriptions = new Map([[topic, '*']])
const consumer = dedupSimpleConsumer(
  new SimpleConsumer({ ...client, consumerGroup, subscriptions, awaitDuration: 5000 }),
  dedup,
) // what changes
await consumer.startup()
while (isWorkLeft()) {
  for (const message of await consumer.receive(10)) {
    await charge(message)
    await consumer.ack(message)
  }
}
// #endregion

function isWorkLeft(): boolean {
  const { completed, duplicate } = dedup.counts()
  return completed + duplicate < 2 * payments.length
}

for (const payment of charges.toSorted()) console.log(`charged ${payment}`)
console.log(
  `${2 * payments.length} messages, ${charges.length} charges, ${dedup.counts().duplicate} duplicates acked`,
)

// #region close
await consumer.shutdown()
await dedup.close()
// #endregion
await producer.shutdown()
rmSync(folder, { recursive: true })
