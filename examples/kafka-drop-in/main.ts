// A consumer that stays as it was: its eachMessage is wrapped. Three payments are sent twice and charged
// once. Needs the topic that ONCEMQ_TOPIC names, and `<topic>.parked`.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
// #region imports
import { createDeduplicator } from '@oncemq/core'
import { dedupEachMessage, stampId } from '@oncemq/kafka'
import { SqliteStore } from '@oncemq/sqlite'
import type { EachMessagePayload } from 'kafkajs'
import { Kafka, logLevel } from 'kafkajs'
// #endregion

const { host } = new URL(process.env['ONCEMQ_KAFKA_URL'] ?? 'kafka://127.0.0.1:9092')
const topic = process.env['ONCEMQ_TOPIC'] ?? 'payments'
const folder = mkdtempSync(join(tmpdir(), 'oncemq-kafka-'))
const path = join(folder, 'oncemq.db')
const kafka = new Kafka({ brokers: [host], logLevel: logLevel.NOTHING })
const payments = ['payment-1', 'payment-2', 'payment-3']
const charges: string[] = []

async function charge({ message }: EachMessagePayload): Promise<void> {
  charges.push(String(message.value))
}

const producer = kafka.producer({ allowAutoTopicCreation: false })
await producer.connect()

// #region send
/** The id is the payment's own, so every copy of it has the same. */
async function send(payment: string): Promise<void> {
  await producer.send({ topic, messages: [stampId({ value: payment }, payment)] })
}
// #endregion

for (const payment of [...payments, ...payments]) await send(payment)

// #region consume
const dedup = createDeduplicator({ store: new SqliteStore({ path }), consumerGroup: 'billing' })

const consumer = kafka.consumer({ groupId: 'billing' })
await consumer.connect()
await consumer.subscribe({ topics: [topic], fromBeginning: true })
const closing = new AbortController()
await consumer.run({
  eachMessage: dedupEachMessage(charge, dedup, { producer, signal: closing.signal }), // what changes
})
// #endregion

while (dedup.counts().completed + dedup.counts().duplicate < 2 * payments.length) await delay(20)

for (const payment of charges.toSorted()) console.log(`charged ${payment}`)
const { duplicate } = dedup.counts()
console.log(`${2 * payments.length} records, ${charges.length} charges, ${duplicate} duplicates passed over`)

// #region close
closing.abort()
await consumer.disconnect()
await dedup.close()
// #endregion
await producer.disconnect()
rmSync(folder, { recursive: true })
