// The offset up to which a partition is done commits together with the effects: one row a partition, and no
// record of any message. Five transfers are consumed; the handler of one fails in the middle, once. Then the
// group's offset is lost, so that Kafka would deliver all once more. Needs the topic that ONCEMQ_TOPIC names.
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { createDeduplicator, watermark } from '@oncemq/core'
import { consume } from '@oncemq/kafka'
import { PostgresStore } from '@oncemq/postgres'
import { Kafka, logLevel } from 'kafkajs'
import pg from 'pg'

interface Transfer {
  readonly from: string
  readonly to: string
  readonly cents: number
}

const { host } = new URL(process.env['ONCEMQ_KAFKA_URL'] ?? 'kafka://127.0.0.1:9092')
const topic = process.env['ONCEMQ_TOPIC'] ?? 'transfers'
const kafka = new Kafka({ brokers: [host], logLevel: logLevel.NOTHING })
const connectionString = process.env['ONCEMQ_POSTGRES_URL'] ?? 'postgres://postgres@127.0.0.1/postgres'
// All that the example makes and counts is in a schema of this run alone.
const schema = `watermark_${randomBytes(6).toString('hex')}`
const pool = new pg.Pool({ connectionString, options: `-c search_path=${schema}`, max: 12 })
const transfers: Transfer[] = [1, 2, 3, 4, 5].map((n) => ({ from: 'ann', to: 'bob', cents: 100 * n }))

await pool.query(`CREATE SCHEMA ${schema}`)
await pool.query('CREATE TABLE accounts (name text PRIMARY KEY, cents bigint NOT NULL)')
await pool.query("INSERT INTO accounts VALUES ('ann', 2000), ('bob', 0)")
const producer = kafka.producer({ allowAutoTopicCreation: false })
await producer.connect()
const send = (transfer: Transfer) =>
  producer.send({ topic, messages: [{ key: transfer.from, value: JSON.stringify(transfer) }] })
for (const transfer of transfers) await send(transfer)

let stumbles = 1
function stumble(): void {
  if (stumbles-- > 0) throw new Error('stumbled in the middle')
}

/** Consumes until that many records are done by this consumer. */
async function consumeUntil(done: number): Promise<void> {
  // #region watermark
  const dedup = createDeduplicator({
    store: new PostgresStore({ pool }),
    consumerGroup: `bank-${topic}`,
    strategy: watermark(),
  })
  const consumer = await consume({
    client: kafka,
    topics: [topic],
    dedup,
    retry: { firstMs: 100 },
    handler: async ({ value }, { tx }) => {
      const { from, to, cents } = JSON.parse(String(value)) as Transfer
      await tx.query('UPDATE accounts SET cents = cents - $1 WHERE name = $2', [cents, from])
      stumble() // fails once, to show that nothing is left of it
      await tx.query('UPDATE accounts SET cents = cents + $1 WHERE name = $2', [cents, to])
    },
  })
  // #endregion
  while (dedup.counts().completed < done) await delay(20)
  await consumer.close()
  const { completed, failed } = dedup.counts()
  console.log(`${completed} done, ${failed} failed runs`)
  await dedup.close()
}

await consumeUntil(transfers.length)

const admin = kafka.admin()
await admin.connect()
await admin.deleteGroups([`bank-${topic}`])
await admin.disconnect()
await send({ from: 'ann', to: 'bob', cents: 500 })
await consumeUntil(1)
await producer.disconnect()

const { rows } = await pool.query<{ name: string; cents: string }>('SELECT * FROM accounts ORDER BY name')
for (const { name, cents } of rows) console.log(`${name}: ${cents}`)
const logs = await pool.query<{ next_offset: string }>('SELECT next_offset FROM oncemq_logs')
const records = await pool.query('SELECT FROM oncemq WHERE state <> 0')
console.log(`rows for partitions: ${logs.rows.length}, records of messages: ${records.rowCount ?? 0}`)
await pool.query(`DROP SCHEMA ${schema} CASCADE`)
await pool.end()
