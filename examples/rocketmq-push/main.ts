// A PushConsumer whose listener stays as it was: it is wrapped. Three payments are sent twice and charged
// once. Needs the topic and the consumer group that ONCEMQ_TOPIC and ONCEMQ_GROUP name.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
// #region imports
import { createDeduplicator } from '@oncemq/core'
import { stopClient, startClient, dedupListener, stampKeys } from '@oncemq/rocketmq'
import { SqliteStore } from '@oncemq/sqlite'
import { ConsumeResult, Producer, PushConsumer } from 'rocketmq-client-nodejs'
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
for (const payment of [...payments, ...payments]) {
  await producer.send(stampKeys({ topic, body: Buffer.from(payment) }, payment))
}

// #region consume
const dedup = createDeduplicator({ store: new SqliteStore({ path }), consumerGroup: 'billing' })

const listener = {
  async consume(message: { body: Buffer }) {
    await charge(message)
    return ConsumeResult.SUCCESS
  },
}
const consumer = new PushConsumer({
  ...client,
  consumerGroup,
  subscriptions: new Map([[topic, '*']]),
  messageListener: dedupListener(listener, dedup), // what changes
})
await startClient(consumer)
// #endregion

await new Promise<void>((resolve) => {
  const look = (): void => {
    const { completed, duplicate } = dedup.counts()
    if (completed + duplicate === 2 * payments.length) resolve()
  }
  dedup.on('completed', look)
  dedup.on('duplicate', look)
})
for (const payment of charges.toSorted()) console.log(`charged ${payment}`)
console.log(
  `${2 * payments.length} messages, ${charges.length} charges, ${dedup.counts().duplicate} duplicates acked`,
)

// #region close
await stopClient(consumer)
await dedup.close()
// #endregion
await stopClient(producer)
rmSync(folder, { recursive: true })
