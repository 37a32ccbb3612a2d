// 120 records that are sent twice with the same ids, to three members of a group on Kafka. They are killed
// with -9 again and again, or leave and join the group every two seconds. A history outside is judged.
// ONCEMQ_SOAK=1: 1000 records, more kills, a minute of rebalances.
import { randomInt } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describeService } from '@oncemq/test-services/vitest'
import { test } from 'vitest'
import { Crew } from './crew.ts'
import type { Event } from './history.ts'
import { groupedKeys } from './grouped-keys.ts'
import { History } from './history.ts'
import { wrongsIn } from './judge.ts'
import type { KafkaClientName } from './kafka-member.ts'
import { KafkaTopic } from './kafka-topic.ts'
import type { MongodbAssignment } from './mongodb-worker.ts'
import { effectsIn, historyFileOf, MONGODB_ARGS, openDatabase } from './mongodb-scene.ts'
import { disorderIn } from './order.ts'
import { randomOf, seedOf } from './random.ts'
import { until } from './until.ts'

const IS_SOAK = process.env['ONCEMQ_SOAK'] === '1'
const CONSUMER = fileURLToPath(new URL('kafka-consumer.ts', import.meta.url))
const CONSUMERS = 3
const MESSAGES = IS_SOAK ? 1000 : 120
const PARTS = IS_SOAK ? 20 : 3
const KILL_WITHIN_MS = 1000
/** Past lease and session. */
const FREEZE_MS = 7000
const CHURN_EVERY_MS = 2000
const CHURNS = IS_SOAK ? 30 : 2
const SETTLE_MS = IS_SOAK ? 300_000 : 100_000
const TEST_MS = 2 * SETTLE_MS

const CASES = (['lease', 'transactional'] as const).flatMap((mode) =>
  (['kills', 'rebalances'] as const).map((fault) => ({
    mode,
    fault,
    // So that each sees both modes and both faults.
    client: (mode === 'lease') === (fault === 'kills') ? ('kafkajs' as const) : ('platformatic' as const),
  })),
)

const { keys, groups } = groupedKeys(MESSAGES)

describeService('mongodb-6', { args: MONGODB_ARGS }, (mongodb) => {
  describeService('kafka-4.4', ({ url }) => {
    test.concurrent.for(CASES)('$mode, $fault, $client', { timeout: TEST_MS }, async (given, context) => {
      const { mode, fault, client } = given
      const { expect } = context
      const seed = seedOf()
      const hint = `ONCEMQ_SEED=${seed}`
      const topic = await KafkaTopic.open(url, `${fault}${randomInt(2 ** 31)}`)
      context.onTestFinished(() => topic.close())
      const database = await openDatabase(mongodb.url, topic.name, context)
      const historyFile = historyFileOf(context)
      const history = new History(historyFile)
      const assignment = { client, mode, storeUrl: mongodb.url, url, topic: topic.name, historyFile }
      const crew = new Crew<KafkaAssignment>(assignment, CONSUMER)
      context.onTestFinished(() => crew.end())

      await crew.start(CONSUMERS)
      await (fault === 'kills' ? sendAmongKills : sendAmongRebalances)(crew, topic, randomOf(seed))
      await until('all offsets to be committed', async () => (await topic.left()) === 0, SETTLE_MS)
      await crew.stop()

      const events = history.events()
      const effects = await effectsIn(database)
      console.log(`${mode}, ${fault}: ${JSON.stringify(figures(events, effects.length))} ${hint}`)
      expect(wrongsIn(events, keys), hint).toEqual([])
      expect(disorderIn(events, groups), hint).toEqual([])
      // Outside of a transaction a run that was killed may have left its effect: the judge has explained it.
      const isExact = mode === 'transactional' || fault === 'rebalances'
      expect((isExact ? effects : [...new Set(effects)]).toSorted(), hint).toEqual(keys.toSorted())
    })
  })
})

type KafkaAssignment = MongodbAssignment & { readonly client: KafkaClientName }
type Crowd = Crew<KafkaAssignment>

/** One part of the records for each kill or freeze, which comes while they are handled. */
async function sendAmongKills(
  crew: Crowd,
  topic: KafkaTopic,
  random: (bound: number) => number,
): Promise<void> {
  const size = MESSAGES / PARTS
  for (let part = 0; part < PARTS; part += 1) {
    const place = random(CONSUMERS)
    const sent = topic.sendTwice(keys.slice(part * size, (part + 1) * size))
    await delay(random(KILL_WITHIN_MS))
    await Promise.all([sent, part % 3 === 2 ? crew.freeze(place, FREEZE_MS) : crew.kill(place)])
  }
}

/** A member leaves and another joins, every two seconds, while the records come. */
async function sendAmongRebalances(
  crew: Crowd,
  topic: KafkaTopic,
  random: (bound: number) => number,
): Promise<void> {
  const sent = topic.sendTwice(keys)
  for (let churn = 0; churn < CHURNS; churn += 1) {
    await delay(CHURN_EVERY_MS)
    await crew.replace(random(CONSUMERS))
  }
  await sent
}

function figures(events: readonly Event[], effects: number): Record<string, number> {
  const count = (type: Event['type']): number => events.filter((event) => event.type === type).length
  const runs = count('run')
  return { runs, extraRuns: runs - MESSAGES, kills: count('kill'), known: count('known'), effects }
}
