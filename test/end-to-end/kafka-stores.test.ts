// Records that are sent twice with the same ids, to three members of a group on Kafka, with each store of the
// lease mode and on PostgreSQL with its transactions. Members are killed with -9 or frozen for longer than
// their leases and sessions last. ONCEMQ_SOAK=1: 1000 records, with both clients.
import { randomInt } from 'node:crypto'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describeService } from '@oncemq/test-services/vitest'
import type { TestContext } from 'vitest'
import { test } from 'vitest'
import { sendAmongFaults } from './among-faults.ts'
import { Crew } from './crew.ts'
import { groupedKeys } from './grouped-keys.ts'
import { History, historyFileOf } from './history.ts'
import { wrongsIn } from './judge.ts'
import type { KafkaClientName } from './kafka-member.ts'
import type { StoreAssignment } from './kafka-store-consumer.ts'
import { KafkaTopic } from './kafka-topic.ts'
import { disorderIn } from './order.ts'
import { isLockKept } from './outages.ts'
import { randomOf, seedOf } from './random.ts'
import { logScenes, ownDatabase } from './watermark-scene.ts'

const IS_SOAK = process.env['ONCEMQ_SOAK'] === '1'
const CONSUMER = fileURLToPath(new URL('kafka-store-consumer.ts', import.meta.url))
const CONSUMERS = 3
const MESSAGES = IS_SOAK ? 1000 : 60
/** Freezes and kills by turns. */
const FAULTS = IS_SOAK ? 20 : 2
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
  const topic = await KafkaTopic.open(url, `${store}${randomInt(2 ** 31)}`, context)
  const historyFile = historyFileOf(context)
  const place = await placeOf({ store, mode, storeUrl }, dirname(historyFile), context)
  const assignment = { client, mode, store, storeUrl: place, url, topic: topic.name, historyFile }
  const crew = new Crew<StoreAssignment>(assignment, CONSUMER)
  context.onTestFinished(() => crew.end())
  await crew.start(CONSUMERS)
  // One that is frozen in the middle of a write has the lock of the file: the store is away from all.
  const isStoreKept =
    store === 'sqlite' ? (meanwhile: Promise<unknown>) => isLockKept(place, meanwhile) : undefined
  const fault = (number: number): Promise<void> => {
    const member = random(CONSUMERS)
    return number % 2 === 0 ? crew.freeze(member, FREEZE_MS, isStoreKept) : crew.kill(member)
  }
  const faults = { count: FAULTS, withinMs: FAULT_WITHIN_MS, random, fault }
  await sendAmongFaults(keys, (part) => topic.sendTwice(part), faults)
  await topic.settled(TEST_MS)
  await crew.stop()
  const events = new History(historyFile).events()
  expect(wrongsIn(events, keys), hint).toEqual([])
  expect(disorderIn(events, groups), hint).toEqual([])
  if (mode === 'lease') return
  const effects = await logScenes.postgres.effects(place)
  expect(effects.toSorted(), hint).toEqual(keys.toSorted())
}

/** Where the records are: with effects beside them, in a database of the test's own. */
async function placeOf(
  { store, mode, storeUrl }: Case,
  folder: string,
  context: TestContext,
): Promise<string> {
  if (store === 'sqlite') return join(folder, 'oncemq.db')
  if (mode === 'lease') return storeUrl
  const own = await ownDatabase(storeUrl, context)
  await logScenes.postgres.prepare(own)
  return own
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
      test.concurrent.for(clientsOf(index))(`transactional, ${store}, %s`, timeout, (client, context) =>
        expectOnce(client, { ...place, mode: 'transactional' }, url, context),
      )
    })
  }
})
