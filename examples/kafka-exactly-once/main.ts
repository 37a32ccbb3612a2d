// A pipeline: what a handler sends and the offset of its record commit in one transaction of Kafka. Three
// orders; the handler of one fails after its first receipt, once. Needs the topic that ONCEMQ_TOPIC names.
import { setTimeout as delay } from 'node:timers/promises'
import { createDeduplicator } from '@oncemq/core'
import { consume, exactlyOnce } from '@oncemq/kafka'
import { Kafka, logLevel } from 'kafkajs'

const { host } = new URL(process.env['ONCEMQ_KAFKA_URL'] ?? 'kafka://127.0.0.1:9092')
const topic = process.env['ONCEMQ_TOPIC'] ?? 'orders'
const receipts = `${topic}.receipts`
const orders = ['order-1', 'order-2', 'order-3']

// A transaction waits for the end of the one before it: the client's default waits 300 ms each time.
const kafka = new Kafka({ brokers: [host], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 10 } })
const admin = kafka.admin()
await admin.connect()
await admin.createTopics({ topics: [{ topic: receipts, numPartitions: 1 }], waitForLeaders: false })

// #region producer
// Knows its own retries: what the broker has, and did not confirm in time, is not there twice.
const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: false })
// #endregion
await producer.connect()
for (const order of orders) await producer.send({ topic, messages: [{ key: order, value: order }] })
await producer.disconnect()

let failures = 0
function stumble(order: string): void {
  if (order === 'order-2' && failures++ === 0) throw new Error('stumbled in the middle')
}

// #region exactly-once
const dedup = createDeduplicator({ consumerGroup: topic, strategy: exactlyOnce({ client: kafka }) })
const consumer = await consume({
  client: kafka,
  topics: [topic],
  dedup,
  retry: { firstMs: 100 },
  handler: async ({ key, value }, { tx }) => {
    const order = String(value)
    await tx.send({ topic: receipts, messages: [{ key, value: `${order} is paid` }] })
    stumble(order) // fails once, to show that nothing is left of it
    await tx.send({ topic: receipts, messages: [{ key, value: `${order} is to be sent` }] })
  },
})
// #endregion

while (dedup.counts().completed < orders.length) await delay(20)
await consumer.close()
await dedup.close()

const lines: string[] = []
const reader = kafka.consumer({ groupId: `${topic}-reader`, maxWaitTimeInMs: 100 })
await reader.connect()
await reader.subscribe({ topics: [receipts], fromBeginning: true })
await reader.run({ eachMessage: async ({ message }) => void lines.push(String(message.value)) })
while (lines.length < 2 * orders.length) await delay(20)
await reader.disconnect()
await admin.disconnect()

for (const line of lines) console.log(line)
const { completed, failed } = dedup.counts()
console.log(`${orders.length} orders, ${completed} done, ${failed} failed runs, ${lines.length} receipts`)
