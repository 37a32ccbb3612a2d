// Messages that are handled in transactions of several, each sent twice, to two processes that are killed in
// the middle of them. What is counted are the effects, outside of all of them.
import { randomInt } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, onTestFinished, test } from 'vitest'
import { batchedStores, POISON } from './batched-stores.ts'
import type { BatchedName, BatchesAssignment } from './batched-stores.ts'
import { Crew } from './crew.ts'
import { History } from './history.ts'
import { MONGODB_ARGS } from './mongodb-scene.ts'
import { Queue } from './queue.ts'
import { randomOf, seedOf } from './random.ts'
import { until } from './until.ts'

const CONSUMER = fileURLToPath(new URL('batches-consumer.ts', import.meta.url))
const KILLS = 2
/** A consumer is mostly handed that many keys before the other has taken them. */
const HALT_WITHIN = 8
const KEYS_PER_KILL = 40
const TEST_MS = 90_000

const SERVERS = [
  ['mongodb', 'mongodb-6', MONGODB_ARGS],
  ['postgres', 'postgres-18', []],
  ['mysql', 'mariadb-11.8', []],
] as const

async function openScene(store: BatchedName, storeUrl: string | undefined, url: string) {
  const folder = mkdtempSync(join(tmpdir(), 'oncemq-batches-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const historyFile = join(folder, 'history')
  const queue = await Queue.open(url, `batches-${store}-${randomInt(2 ** 31)}`)
  onTestFinished(() => queue.close())
  const place = storeUrl ?? join(dirname(historyFile), 'oncemq.db')
  const batched = batchedStores[store](place)
  onTestFinished(() => batched.close())
  await batched.create()
  const given = { store, storeUrl: place, url, queue: queue.name, historyFile }
  const crew = new Crew<BatchesAssignment>(given, CONSUMER)
  onTestFinished(() => crew.end())
  const history = new History(historyFile)
  const settled = (keys: readonly string[]) => until('an end of each key', () => areOver(history, keys))
  return { crew, queue, batched, history, settled }
}

/** Whether each is done, as whoever did it said, or whoever was handed it again. */
function areOver(history: History, keys: readonly string[]): boolean {
  const over = new Set(
    history.events().flatMap((event) => (event.type === 'done' || event.type === 'known' ? [event.key] : [])),
  )
  return keys.every((key) => over.has(key))
}

function runsOf(history: History, key: string): number {
  return history.events().filter((event) => event.type === 'run' && event.key === key).length
}

async function expectOneEffectEach(store: BatchedName, storeUrl: string | undefined, url: string) {
  const seed = seedOf()
  const random = randomOf(seed)
  const { crew, queue, batched, history, settled } = await openScene(store, storeUrl, url)
  await crew.start(2)
  const keys: string[] = []
  for (let kill = 0; kill < KILLS; kill += 1) {
    const sent = Array.from({ length: KEYS_PER_KILL }, (_, at) => `key-${kill}-${at}`)
    const killing = crew.killInHandler(random(2), 1 + random(HALT_WITHIN), settled(sent))
    await queue.sendTwice(sent)
    await killing
    keys.push(...sent)
  }
  await settled(keys)
  await crew.stop()
  const effects = await batched.effects()
  expect(effects.toSorted(), `ONCEMQ_SEED=${seed}`).toEqual(keys.toSorted())
  expect(await queue.parked()).toBe(0)
  const runs = keys.reduce((sum, key) => sum + runsOf(history, key), 0)
  console.log(`${store}: ${runs} runs, ${effects.length} effects, ONCEMQ_SEED=${seed}`)
}

describeService('rabbitmq-4.0', ({ url }) => {
  test('sqlite, killed in the middle of batches', { timeout: TEST_MS }, () =>
    expectOneEffectEach('sqlite', undefined, url),
  )

  for (const [store, name, args] of SERVERS) {
    describeService(name, { own: true, args }, (server) => {
      test(`${store}, killed in the middle of batches`, { timeout: TEST_MS }, () =>
        expectOneEffectEach(store, server.url, url),
      )
    })
  }

  test(
    'a message that ends its process is parked, and none of its neighbours',
    { timeout: TEST_MS },
    async () => {
      const { crew, queue, batched, history, settled } = await openScene('sqlite', undefined, url)
      const keys = Array.from({ length: 12 }, (_, at) => `key-${at}`)
      await queue.sendTwice([...keys.slice(0, 6), POISON, ...keys.slice(6)])
      await crew.start(1)
      const succession = crew.succeed(0)
      await until('the dead letters', async () => (await queue.parked()) > 0)
      await settled(keys)
      await crew.stop()
      await succession
      expect((await batched.effects()).toSorted()).toEqual(keys.toSorted())
      // The usual ones, and one alone.
      expect(runsOf(history, POISON)).toBe(3)
    },
  )
})
