// 120 records that are sent twice with the same ids, to three members of a group on Kafka. They are killed
// with -9 again and again, or leave and join the group every two seconds. A history outside is judged.
// ONCEMQ_SOAK=1: 1000 records, more kills, a minute of rebalances.
import { randomInt } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { describeService } from '@oncemq/test-services/vitest'
import { test } from 'vitest'
import { amongRebalances, sendAmongFaults } from './among-faults.ts'
import { Crew } from './crew.ts'
import { groupedKeys } from './grouped-keys.ts'
import { History, historyFileOf } from './history.ts'
import { wrongsIn } from './judge.ts'
import type { KafkaClientName } from './kafka-member.ts'
import { KafkaTopic } from './kafka-topic.ts'
import type { MongodbAssignment } from './mongodb-worker.ts'
import { effectsIn, MONGODB_ARGS, openDatabase } from './mongodb-scene.ts'
import { disorderIn } from './order.ts'
import { randomOf, seedOf } from './random.ts'

const IS_SOAK = process.env['ONCEMQ_SOAK'] === '1'
const CONSUMER = fileURLToPath(new URL('kafka-consumer.ts', import.meta.url))
const CONSUMERS = 3
const MESSAGES = IS_SOAK ? 1000 : 120
const FAULTS = IS_SOAK ? 20 : 3
const KILL_WITHIN_MS = 1000
/** Past lease and session. */
const FREEZE_MS = 7000
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
      const topic = await KafkaTopic.open(url, `${fault}${randomInt(2 ** 31)}`, context)
      const database = await openDatabase(mongodb.url, topic.name, context)
      const historyFile = historyFileOf(context)
      const history = new History(historyFile)
      const assignment = { client, mode, storeUrl: mongodb.url, url, topic: topic.name, historyFile }
      const crew = new Crew<KafkaAssignment>(assignment, CONSUMER)
      context.onTestFinished(() => crew.end())

      await crew.start(CONSUMERS)
      await (fault === 'kills' ? sendAmongKills : sendAmongRebalances)(crew, topic, randomOf(seed))
      await topic.settled(SETTLE_MS)
      await crew.stop()

      const events = history.events()
      const effects = await effectsIn(database)
      console.log(`${mode}, ${fault}: ${JSON.stringify(figures(history, effects.length))} ${hint}`)
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

async function sendAmongKills(
  crew: Crowd,
  topic: KafkaTopic,
  random: (bound: number) => number,
): Promise<void> {
  const fault = (number: number): Promise<void> => {
    const place = random(CONSUMERS)
    return number % 3 === 2 ? crew.freeze(place, FREEZE_MS) : crew.kill(place)
  }
  const faults = { count: FAULTS, withinMs: KILL_WITHIN_MS, random, fault }
  await sendAmongFaults(keys, (part) => topic.sendTwice(part), faults)
}

async function sendAmongRebalances(
  crew: Crowd,
  topic: KafkaTopic,
  random: (bound: number) => number,
): Promise<void> {
  await amongRebalances(topic.sendTwice(keys), CHURNS, () => crew.replace(random(CONSUMERS)))
}

function figures(history: History, effects: number): Record<string, number> {
  const [runs, kills, known] = [history.count('run'), history.count('kill'), history.count('known')]
  return { runs, extraRuns: runs - MESSAGES, kills, known, effects }
}
