// Records that are sent twice with the same ids, to three members of a group on Kafka, with each store of the
// lease mode and on PostgreSQL with its transactions. Members are killed with -9 or frozen for longer than
// their leases and sessions last. ONCEMQ_SOAK=1: 1000 records, with both clients.
import { randomInt } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describeService } from '@oncemq/test-services/vitest'
import pg from 'pg'
import type { TestContext } from 'vitest'
import { test } from 'vitest'
import { Crew } from './crew.ts'
import { groupedKeys } from './grouped-keys.ts'
import { History } from './history.ts'
import { wrongsIn } from './judge.ts'
import type { KafkaClientName } from './kafka-member.ts'
import type { StoreAssignment } from './kafka-store-consumer.ts'
import { KafkaTopic } from './kafka-topic.ts'
import { disorderIn } from './order.ts'
import { randomOf, seedOf } from './random.ts'
import { until } from './until.ts'

const IS_SOAK = process.env['ONCEMQ_SOAK'] === '1'
const CONSUMER = fileURLToPath(new URL('kafka-store-consumer.ts', import.meta.url))
const CONSUMERS = 3
const MESSAGES = IS_SOAK ? 1000 : 60
/** One fault with each: kills and freezes by turns. */
const PARTS = IS_SOAK ? 20 : 2
const FAULT_WITHIN_MS = 500
/** Past lease and session. */
const FREEZE_MS = 5000
const TEST_MS = IS_SOAK ? 600_000 : 120_000

type Case = Pick<StoreAssignment, 'store' | 'mode' | 'storeUrl'>

const { keys, groups } = groupedKeys(MESSAGES)

async function expectOnce(
  client: KafkaClientName,
  { store, mode, storeUrl }: Case,
  url: string,
  context: TestContext,
): Promise<void> {
  const { expect } = context
  const seed = seedOf()
  const hint = `ONCEMQ_SEED=${seed}`
  const random = randomOf(seed)
  const folder = mkdtempSync(join(tmpdir(), 'oncemq-kafka-'))
  context.onTestFinished(() => rmSync(folder, { recursive: true }))
  const topic = await KafkaTopic.open(url, `${store}${randomInt(2 ** 31)}`)
  context.onTestFinished(() => topic.close())
  const historyFile = join(folder, 'history')
  const path = storeUrl === '' ? join(folder, 'oncemq.db') : storeUrl
  const crew = new Crew<StoreAssignment>(
    { client, mode, store, storeUrl: path, url, topic: topic.name, historyFile },
    CONSUMER,
  )
  context.onTestFinished(() => crew.end())
  await crew.start(CONSUMERS)
  const size = MESSAGES / PARTS
  for (let part = 0; part < PARTS; part += 1) {
    const place = random(CONSUMERS)
    const sent = topic.sendTwice(keys.slice(part * size, (part + 1) * size))
    await delay(random(FAULT_WITHIN_MS))
    await Promise.all([sent, part % 2 === 0 ? crew.freeze(place, FREEZE_MS) : crew.kill(place)])
  }
  await until('all offsets to be committed', async () => (await topic.left()) === 0, TEST_MS)
  await crew.stop()
  const events = new History(historyFile).events()
  expect(wrongsIn(events, keys), hint).toEqual([])
  expect(disorderIn(events, groups), hint).toEqual([])
  if (mode === 'lease') return
  const effects = await effectsOf(path, topic.name)
  expect(effects.toSorted(), hint).toEqual(keys.toSorted())
}

async function effectsOf(url: string, topic: string): Promise<readonly string[]> {
  return withPostgres(url, async (client) => {
    const { rows } = await client.query<{ key: string }>('SELECT key FROM kafka_effects WHERE topic = $1', [
      topic,
    ])
    return rows.map(({ key }) => key)
  })
}

async function withPostgres<Answer>(
  url: string,
  use: (client: pg.Client) => Promise<Answer>,
): Promise<Answer> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

const SERVERS = [
  ['mongodb', 'mongodb-6'],
  ['redis', 'redis-8'],
  ['postgres', 'postgres-18'],
  ['mysql', 'mariadb-11.8'],
] as const

/** By turns, so that each client sees half of the stores. */
function clientsOf(index: number): readonly KafkaClientName[] {
  const both = ['platformatic', 'kafkajs'] as const
  return IS_SOAK ? both : both.slice(index % 2, (index % 2) + 1)
}

describeService('kafka-4.4', ({ url }) => {
  test.concurrent.for(clientsOf(0))('lease, sqlite, %s', { timeout: 2 * TEST_MS }, (client, context) =>
    expectOnce(client, { store: 'sqlite', mode: 'lease', storeUrl: '' }, url, context),
  )

  for (const [index, [store, name]] of SERVERS.entries()) {
    describeService(name, (server) => {
      const place = { store, storeUrl: server.url } as const
      const timeout = { timeout: 2 * TEST_MS }
      test.concurrent.for(clientsOf(index + 1))(`lease, ${store}, %s`, timeout, (client, context) =>
        expectOnce(client, { ...place, mode: 'lease' }, url, context),
      )
      if (store !== 'postgres') return
      test.concurrent.for(clientsOf(index))(
        `transactional, ${store}, %s`,
        timeout,
        async (client, context) => {
          await withPostgres(server.url, (rows) =>
            rows.query('CREATE TABLE IF NOT EXISTS kafka_effects (topic text, key text)'),
          )
          await expectOnce(client, { ...place, mode: 'transactional' }, url, context)
        },
      )
    })
  }
})
