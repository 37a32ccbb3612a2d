// Records of ten groups to three members on Kafka that follow their logs, with the effects in the same
// database. Members are killed with -9, stopped for longer than their session and let go on, or leave and
// join every two seconds. The database is looked at from outside: each effect once, in its group's order.
// ONCEMQ_SOAK=1: more records and kills, a minute of rebalances.
import { randomInt } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { describeService } from '@oncemq/test-services/vitest'
import { parkedHeaders } from '@oncemq/kafka'
import type { TestContext } from 'vitest'
import { expect, test } from 'vitest'
import { amongRebalances, sendAmongFaults } from './among-faults.ts'
import { Crew } from './crew.ts'
import { groupedKeys, groupOf } from './grouped-keys.ts'
import { clientOf, KafkaTopic } from './kafka-topic.ts'
import { randomOf, seedOf } from './random.ts'
import { until } from './until.ts'
import type { TopicAssignment } from './watermark-consumer.ts'
import { type LogStoreName, openLogs } from './watermark-scene.ts'

const IS_SOAK = process.env['ONCEMQ_SOAK'] === '1'
const CONSUMER = fileURLToPath(new URL('watermark-consumer.ts', import.meta.url))
const CONSUMERS = 3
const MESSAGES = IS_SOAK ? 1000 : 150
const FAULTS = IS_SOAK ? 20 : 3
const FAULT_WITHIN_MS = 1000
/** For longer than a session. */
const FROZEN_MS = 4500
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
          await topic.settled(SETTLE_MS)
          await crew.stop()

          const effects = await scene.effects()
          const runs = scene.history.count('run')
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
          const letters = await lettersOf(url, topic.name, context)
          await topic.send(['g1-1', 'g1-poison', 'g1-2', 'g2-1'])
          await crew.start(1)
          const succession = crew.succeed(0)
          await until('the dead letter', () => letters.length > 0, SETTLE_MS)
          await topic.settled(SETTLE_MS)
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

type Crowd = Crew<TopicAssignment>

async function openScene(
  given: Pick<TopicAssignment, 'store' | 'record' | 'attemptsMax'>,
  urls: { readonly postgres: string; readonly mysql: string },
  url: string,
  context: TestContext,
) {
  const topic = await KafkaTopic.open(url, `${given.store}_${randomInt(2 ** 31)}`, context)
  const { place, ...logs } = await openLogs(given.store, urls, context)
  const crew: Crowd = new Crew({ ...given, ...place, url, topic: topic.name }, CONSUMER)
  context.onTestFinished(() => crew.end())
  return { topic, crew, ...logs }
}

async function sendAmongKills(
  crew: Crowd,
  topic: KafkaTopic,
  sent: readonly string[],
  random: (bound: number) => number,
): Promise<void> {
  const fault = (number: number): Promise<void> => {
    const place = random(CONSUMERS)
    return number % 2 === 0 ? crew.kill(place) : crew.freeze(place, FROZEN_MS)
  }
  const faults = { count: FAULTS, withinMs: FAULT_WITHIN_MS, random, fault }
  await sendAmongFaults(sent, (part) => topic.send(part), faults)
}

async function sendAmongRebalances(
  crew: Crowd,
  topic: KafkaTopic,
  sent: readonly string[],
  random: (bound: number) => number,
): Promise<void> {
  await amongRebalances(topic.send(sent), CHURNS, () => crew.replace(random(CONSUMERS)))
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
