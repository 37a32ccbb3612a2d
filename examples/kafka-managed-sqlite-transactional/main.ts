// Each effect and the record that it is done commit together. Three transfers are sent twice; the handler of
// one fails in the middle, once. Needs the topic that ONCEMQ_TOPIC names.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import { createDeduplicator } from '@oncemq/core'
import { consume, jsonField } from '@oncemq/kafka'
import { SqliteStore } from '@oncemq/sqlite'
import { Kafka, logLevel } from 'kafkajs'

interface Transfer {
  readonly id: string
  readonly from: string
  readonly to: string
  readonly cents: number
}

const { host } = new URL(process.env['ONCEMQ_KAFKA_URL'] ?? 'kafka://127.0.0.1:9092')
const topic = process.env['ONCEMQ_TOPIC'] ?? 'transfers'
const folder = mkdtempSync(join(tmpdir(), 'oncemq-kafka-'))
const path = join(folder, 'bank.db')
const kafka = new Kafka({ brokers: [host], logLevel: logLevel.NOTHING })
const transfers: Transfer[] = [1, 2, 3].map((n) => ({ id: `t-${n}`, from: 'ann', to: 'bob', cents: 100 * n }))

const bank = new DatabaseSync(path)
bank.exec('CREATE TABLE accounts (name TEXT PRIMARY KEY, cents INTEGER NOT NULL)')
bank.exec("INSERT INTO accounts VALUES ('ann', 1000), ('bob', 0)")

const producer = kafka.producer({ allowAutoTopicCreation: false })
await producer.connect()
for (const transfer of [...transfers, ...transfers]) {
  await producer.send({ topic, messages: [{ key: transfer.from, value: JSON.stringify(transfer) }] })
}
await producer.disconnect()

function stumble({ id }: Transfer, attempt: number): void {
  if (id === 't-2' && attempt === 1) throw new Error('stumbled in the middle')
}

// #region transactional
const dedup = createDeduplicator({
  store: new SqliteStore({ path }),
  consumerGroup: 'bank',
  strategy: 'transactional',
})
const consumer = await consume({
  client: kafka,
  topics: [topic],
  dedup,
  key: jsonField('id'),
  retry: { firstMs: 100 },
  handler: (message, { tx, attempt }) => {
    const transfer = JSON.parse(String(message.value)) as Transfer
    tx.prepare('UPDATE accounts SET cents = cents - ? WHERE name = ?').run(transfer.cents, transfer.from)
    stumble(transfer, attempt) // fails once, to show that nothing is left of it
    tx.prepare('UPDATE accounts SET cents = cents + ? WHERE name = ?').run(transfer.cents, transfer.to)
  },
})
// #endregion

while (dedup.counts().completed + dedup.counts().duplicate < 2 * transfers.length) await delay(20)
await consumer.close()
await dedup.close()

const accounts = bank.prepare('SELECT name, cents FROM accounts ORDER BY name').all()
for (const { name, cents } of accounts) console.log(`${String(name)}: ${String(cents)}`)
const { completed, duplicate, failed } = dedup.counts()
console.log(
  `${2 * transfers.length} records, ${completed} done, ${duplicate} duplicates, ${failed} failed runs`,
)
bank.close()
rmSync(folder, { recursive: true })
