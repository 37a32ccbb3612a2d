// Records of ten groups to three members on Kafka that follow their logs, with the effects in the same
// database. Members are killed with -9, stopped for longer than their session and let go on, or leave and
// join every two seconds. The database is looked at from outside: each effect once, in its group's order.
// ONCEMQ_SOAK=1: more records and kills, a minute of rebalances.
import { randomInt } from 'node:crypto'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { declareKafka } from '@oncemq/test-services/kafka'
import { describeService } from '@oncemq/test-services/vitest'
import { parkedHeaders } from '@oncemq/kafka'
import type { TestContext } from 'vitest'
import { expect, test } from 'vitest'
import { Crew } from './crew.ts'
import { groupedKeys, groupOf } from './grouped-keys.ts'
import { History } from './history.ts'
import { clientOf, KafkaTopic } from './kafka-topic.ts'
import { historyFileOf } from './mongodb-scene.ts'
import { randomOf, seedOf } from './random.ts'
import { until } from './until.ts'
import type { LogAssignment } from './watermark-consumer.ts'
import { logScenes, type LogStoreName } from './watermark-scene.ts'

const IS_SOAK = process.env['ONCEMQ_SOAK'] === '1'
const CONSUMER = fileURLToPath(new URL('watermark-consumer.ts', import.meta.url))
const CONSUMERS = 3
const MESSAGES = IS_SOAK ? 1000 : 150
const PARTS = IS_SOAK ? 20 : 3
const FAULT_WITHIN_MS = 1000
/** For longer than a session. */
const FROZEN_MS = 4500
const CHURN_EVERY_MS = 2000
const CHURNS = IS_SOAK ? 30 : 3
const SETTLE_MS = IS_SOAK ? 300_000 : 100_000
const TEST_MS = 2 * SETTLE_MS
const ATTEMPTS_MAX = 3

const { keys } = groupedKeys(MESSAGES)

interface Case {
  readonly store: LogStoreName
  readonly fault: 'kills' | 'rebalances'
  readonly record: boolean
}

const CASES: readonly Case[] = [
  { store: 'postgres', fault: 'kills', record: false },
  { store: 'mysql', fault: 'kills', record: false },
  { store: 'sqlite', fault: 'kills', record: false },
  { store: 'postgres', fault: 'rebalances', record: false },
  { store: 'postgres', fault: 'kills', record: true },
]

describeService('postgres-18', ({ url: postgres }) => {
  describeService('mysql-8.0', ({ url: mysql }) => {
    describeService('kafka-4.4', ({ url }) => {
      const urls = { postgres, mysql }

      test.concurrent.for(CASES)(
        '$store, $fault, record: $record',
        { timeout: TEST_MS },
        async ({ store, fault, record }, context) => {
          const { expect } = context
          const seed = seedOf()
          const hint = `ONCEMQ_SEED=${seed}`
          const scene = await openScene({ store, record, attemptsMax: 100 }, urls, url, context)
          const { topic, crew } = scene
          await crew.start(CONSUMERS)
          const sent = record ? [...keys, ...keys] : keys
          await (fault === 'kills' ? sendAmongKills : sendAmongRebalances)(crew, topic, sent, randomOf(seed))
          await until('all offsets to be committed', async () => (await topic.left()) === 0, SETTLE_MS)
          await crew.stop()

          const effects = await scene.effects()
          const runs = scene.history.events().filter(({ type }) => type === 'run').length
          console.log(
            `${store}, ${fault}, record: ${record}: ${runs} runs, ${effects.length} effects ${hint}`,
          )
          expect(effects.toSorted(), hint).toEqual(keys.toSorted())
          expect(effects.toSorted(byGroup), hint).toEqual(keys.toSorted(byGroup))
        },
      )

      test(
        'a message that ends its process is put aside after its attempts',
        { timeout: TEST_MS },
        async (context) => {
          const given = { store: 'postgres', record: false, attemptsMax: ATTEMPTS_MAX } as const
          const { topic, crew, history, effects } = await openScene(given, urls, url, context)
          await declareKafka(url, [{ name: `${topic.name}.parked` }])
          const letters = await lettersOf(url, topic.name, context)
          await topic.send(['g1-1', 'g1-poison', 'g1-2', 'g2-1'])
          await crew.start(1)
          const succession = crew.succeed(0)
          await until('the dead letter', () => letters.length > 0, SETTLE_MS)
          await until('all offsets to be committed', async () => (await topic.left()) === 0, SETTLE_MS)
          await crew.stop()
          await succession
          expect((await effects()).toSorted()).toEqual(['g1-1', 'g1-2', 'g2-1'])
          // The usual ones, and one alone.
          const starts = history.events().filter((event) => event.type === 'run' && event.key === 'g1-poison')
          expect(starts).toHaveLength(ATTEMPTS_MAX + 1)
          expect(letters).toEqual([
            { value: 'g1-poison', reason: 'attempts', attempts: `${ATTEMPTS_MAX + 1}` },
          ])
        },
      )
    })
  })
})

type Crowd = Crew<LogAssignment>

async function openScene(
  given: Pick<LogAssignment, 'store' | 'record' | 'attemptsMax'>,
  urls: { readonly postgres: string; readonly mysql: string },
  url: string,
  context: TestContext,
) {
  const topic = await KafkaTopic.open(url, `${given.store}_${randomInt(2 ** 31)}`)
  context.onTestFinished(() => topic.close())
  const historyFile = historyFileOf(context)
  const scene = logScenes[given.store]
  const place = { ...urls, sqlite: dirname(historyFile) }[given.store]
  const storeUrl = await scene.create(place, topic.name)
  const crew = new Crew<LogAssignment>({ ...given, storeUrl, url, topic: topic.name, historyFile }, CONSUMER)
  context.onTestFinished(() => crew.end())
  return { topic, crew, history: new History(historyFile), effects: () => scene.effects(storeUrl) }
}

/** Sends a part of the records for each fault, which comes while they are handled. */
async function sendAmongKills(
  crew: Crowd,
  topic: KafkaTopic,
  sent: readonly string[],
  random: (bound: number) => number,
): Promise<void> {
  const size = sent.length / PARTS
  for (let part = 0; part < PARTS; part += 1) {
    const place = random(CONSUMERS)
    const sending = topic.send(sent.slice(part * size, (part + 1) * size))
    await delay(random(FAULT_WITHIN_MS))
    const fault = part % 2 === 0 ? crew.kill(place) : crew.freeze(place, FROZEN_MS)
    await Promise.all([sending, fault])
  }
}

/** A member leaves and another joins, every two seconds, while the records come. */
async function sendAmongRebalances(
  crew: Crowd,
  topic: KafkaTopic,
  sent: readonly string[],
  random: (bound: number) => number,
): Promise<void> {
  const sending = topic.send(sent)
  for (let churn = 0; churn < CHURNS; churn += 1) {
    await delay(CHURN_EVERY_MS)
    await crew.replace(random(CONSUMERS))
  }
  await sending
}

/** Sorts by group alone, and leaves the order within each as it is. */
function byGroup(one: string, other: string): number {
  return groupOf(one).localeCompare(groupOf(other))
}

async function lettersOf(url: string, topic: string, context: TestContext) {
  const letters: { readonly value: string; readonly reason: string; readonly attempts: string }[] = []
  const reader = clientOf(url).consumer({ groupId: `${topic}-letters` })
  await reader.subscribe({ topics: [`${topic}.parked`], fromBeginning: true })
  await reader.run({
    eachMessage: async ({ message: { value, headers = {} } }) => {
      const { [parkedHeaders.reason]: reason, [parkedHeaders.attempts]: attempts } = headers
      letters.push({ value: String(value), reason: String(reason), attempts: String(attempts) })
    },
  })
  context.onTestFinished(() => reader.disconnect())
  return letters
}
