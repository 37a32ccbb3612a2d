// 200 messages that are sent twice with the same keys, to two processes on RocketMQ. One of them is killed
// with -9 again and again, and started again. A history outside of them is judged. ONCEMQ_SOAK=1: 1000.
import { randomInt } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { describeService } from '@oncemq/test-services/vitest'
import { test } from 'vitest'
import { Crew } from './crew.ts'
import type { Event } from './history.ts'
import { groupedKeys } from './grouped-keys.ts'
import { History, historyFileOf } from './history.ts'
import { wrongsIn } from './judge.ts'
import { effectsIn, MONGODB_ARGS, openDatabase } from './mongodb-scene.ts'
import { disorderIn } from './order.ts'
import { randomOf, seedOf } from './random.ts'
import { Topic } from './rocketmq-topic.ts'
import type { MongodbAssignment } from './mongodb-worker.ts'
import { until } from './until.ts'

const IS_SOAK = process.env['ONCEMQ_SOAK'] === '1'
const CONSUMER = fileURLToPath(new URL('rocketmq-consumer.ts', import.meta.url))
const CONSUMERS = 2
const MESSAGES = IS_SOAK ? 1000 : 200
const KILLS = IS_SOAK ? 10 : 4
/** A consumer is handed at least that many of a part before the other has taken them. */
const HALT_WITHIN = 3
const SETTLE_MS = IS_SOAK ? 300_000 : 100_000
const TEST_MS = 2 * SETTLE_MS

const CASES = (['NORMAL', 'FIFO'] as const).flatMap((type) =>
  (['transactional', 'lease'] as const).map((mode) => ({ type, mode })),
)

const { keys, groups } = groupedKeys(MESSAGES)

describeService('mongodb-6', { args: MONGODB_ARGS }, (mongodb) => {
  describeService('rocketmq-fast', ({ url }) => {
    test.concurrent.for(CASES)('$type, $mode', { timeout: TEST_MS }, async ({ type, mode }, context) => {
      const { expect } = context
      const seed = seedOf()
      const hint = `ONCEMQ_SEED=${seed}`
      const topic = await Topic.open(url, `kills${randomInt(2 ** 31)}`, type)
      context.onTestFinished(() => topic.close())
      const database = await openDatabase(mongodb.url, topic.name, context)
      const historyFile = historyFileOf(context)
      const history = new History(historyFile)
      const assignment = { mode, storeUrl: mongodb.url, url, topic: topic.name, historyFile }
      const crew = new Crew<MongodbAssignment>(assignment, CONSUMER)
      context.onTestFinished(() => crew.end())

      await crew.start(CONSUMERS)
      await sendAmongKills(crew, topic, randomOf(seed))
      await until('all to be acked', () => isSettled(history.events()), SETTLE_MS)
      await crew.stop()

      const events = history.events()
      const effects = await effectsIn(database)
      console.log(`${type}, ${mode}: ${JSON.stringify(figures(history, effects.length))} ${hint}`)
      expect(wrongsIn(events, keys), hint).toEqual([])
      if (type === 'FIFO') expect(disorderIn(events, groups), hint).toEqual([])
      // Outside of a transaction a run that was killed may have left its effect: the judge has explained it.
      expect((mode === 'lease' ? [...new Set(effects)] : effects).toSorted(), hint).toEqual(keys.toSorted())
    })
  })
})

/** One part of the messages for each kill, which comes in the middle of a handler or at any moment. */
async function sendAmongKills(
  crew: Crew<MongodbAssignment>,
  topic: Topic,
  random: (bound: number) => number,
): Promise<void> {
  const size = MESSAGES / KILLS
  for (let part = 0; part < KILLS; part += 1) {
    const place = random(CONSUMERS)
    const isInHandler = part % 2 === 0
    const halted = isInHandler ? crew.killInHandler(place, 1 + random(HALT_WITHIN)) : undefined
    const sent = topic.sendTwice(keys.slice(part * size, (part + 1) * size))
    await Promise.all([sent, halted ?? crew.kill(place)])
  }
}

/** Each of the messages, copies too, was acked. */
function isSettled(events: readonly Event[]): boolean {
  const acked = new Set(events.map((event) => (event.type === 'ack' ? event.message : undefined)))
  acked.delete(undefined)
  return acked.size === 2 * MESSAGES
}

function figures(history: History, effects: number): Record<string, number> {
  const [runs, kills, acks] = [history.count('run'), history.count('kill'), history.count('ack')]
  return { runs, extraRuns: runs - MESSAGES, kills, effects, acks }
}
