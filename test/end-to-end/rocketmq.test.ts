// 200 messages that are sent twice with the same keys, to two processes on RocketMQ. One of them is killed
// with -9 again and again, and started again. A history outside of them is judged. ONCEMQ_SOAK=1: 1000.
import { randomInt } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describeService } from '@oncemq/test-services/vitest'
import { MongoClient } from 'mongodb'
import type { TestContext } from 'vitest'
import { test } from 'vitest'
import { Crew } from './crew.ts'
import type { Event } from './history.ts'
import { History } from './history.ts'
import { wrongsIn } from './judge.ts'
import { disorderIn } from './order.ts'
import { randomOf, seedOf } from './random.ts'
import type { RocketmqAssignment } from './rocketmq-topic.ts'
import { EFFECTS, groupOf, Topic } from './rocketmq-topic.ts'
import { until } from './until.ts'

const IS_SOAK = process.env['ONCEMQ_SOAK'] === '1'
const CONSUMER = fileURLToPath(new URL('rocketmq-consumer.ts', import.meta.url))
const CONSUMERS = 2
const MESSAGES = IS_SOAK ? 1000 : 200
const KILLS = IS_SOAK ? 10 : 4
const GROUPS = 10
/** A consumer is handed at least that many of a part before the other has taken them. */
const HALT_WITHIN = 3
const SETTLE_MS = IS_SOAK ? 300_000 : 100_000
const TEST_MS = 2 * SETTLE_MS

const CASES = (['NORMAL', 'FIFO'] as const).flatMap((type) =>
  (['transactional', 'lease'] as const).map((mode) => ({ type, mode })),
)

/** Keys are numbered through within their group. */
const keys = Array.from({ length: MESSAGES }, (_, index) => `g${index % GROUPS}-${index}`)
const groups = Array.from({ length: GROUPS }, (_, group) =>
  keys.filter((key) => groupOf(key) === `g${group}`),
)

// A process that was killed leaves its transaction open on the server, and its key busy, until this ends it.
const args = ['--setParameter', 'transactionLifetimeLimitSeconds=5']

describeService('mongodb-6', { args }, (mongodb) => {
  describeService('rocketmq-fast', ({ url }) => {
    test.concurrent.for(CASES)('$type, $mode', { timeout: TEST_MS }, async ({ type, mode }, context) => {
      const { expect } = context
      const seed = seedOf()
      const hint = `ONCEMQ_SEED=${seed}`
      const topic = await Topic.open(url, `kills${randomInt(2 ** 31)}`, type)
      context.onTestFinished(() => topic.close())
      const database = await open(mongodb.url, topic.name, context)
      const historyFile = fileOf(context)
      const history = new History(historyFile)
      const assignment = { mode, storeUrl: mongodb.url, url, topic: topic.name, historyFile }
      const crew = new Crew<RocketmqAssignment>(assignment, CONSUMER)
      context.onTestFinished(() => crew.end())

      await crew.start(CONSUMERS)
      await sendAmongKills(crew, topic, randomOf(seed))
      await until('all to be acked', () => isSettled(history.events()), SETTLE_MS)
      await crew.stop()

      const events = history.events()
      const effects = await database.collection<{ key: string }>(EFFECTS).find().toArray()
      console.log(`${type}, ${mode}: ${JSON.stringify(figures(events, effects.length))} ${hint}`)
      expect(wrongsIn(events, keys), hint).toEqual([])
      if (type === 'FIFO') expect(disorderIn(events, groups), hint).toEqual([])
      const done = effects.map(({ key }) => key)
      // Outside of a transaction a run that was killed may have left its effect: the judge has explained it.
      expect((mode === 'lease' ? [...new Set(done)] : done).toSorted(), hint).toEqual(keys.toSorted())
    })
  })
})

/** One part of the messages for each kill, which comes in the middle of a handler or at any moment. */
async function sendAmongKills(
  crew: Crew<RocketmqAssignment>,
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

function figures(events: readonly Event[], effects: number): Record<string, number> {
  const count = (type: Event['type']): number => events.filter((event) => event.type === type).length
  const runs = count('run')
  return { runs, extraRuns: runs - MESSAGES, kills: count('kill'), effects, acks: count('ack') }
}

async function open(url: string, name: string, { onTestFinished }: TestContext) {
  const client = await MongoClient.connect(url)
  onTestFinished(async () => {
    await client.db(name).dropDatabase()
    await client.close()
  })
  const database = client.db(name)
  // Made here, so that no two transactions make it.
  await database.createCollection(EFFECTS)
  return database
}

function fileOf({ onTestFinished }: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'oncemq-kills-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  return join(folder, 'history')
}
