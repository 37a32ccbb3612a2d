// 100 messages, each sent twice, to two processes. One of them is killed in mid-handler, and the store goes
// away once. A history outside of all of them is judged. ONCEMQ_SOAK=1 repeats it with new messages.
import { randomInt } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { recordId } from '@oncemq/core/store'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, onTestFinished, test } from 'vitest'
import { Crew } from './crew.ts'
import { History } from './history.ts'
import type { Event } from './history.ts'
import { wrongsIn } from './judge.ts'
import type { Outage } from './outages.ts'
import { heldLock, serverKill } from './outages.ts'
import { Queue } from './queue.ts'
import type { StoreName } from './stores.ts'
import { randomOf, seedOf } from './random.ts'
import { stores } from './stores.ts'
import { until } from './until.ts'

const IS_SOAK = process.env['ONCEMQ_SOAK'] === '1'
const ROUNDS = IS_SOAK ? 25 : 1
const CONSUMERS = 2
/** Of each half of a round: one half sees the kill, the other the outage. */
const HALF = 50
/** A consumer is handed at least that many of a half before the other has taken them. */
const HALT_WITHIN = 3
const DOWN_WITHIN = 15
const TEST_MS = IS_SOAK ? 900_000 : 90_000

const SERVERS = [
  ['mongodb', 'mongodb-6', []],
  // With less, Redis may forget at a kill what it has answered.
  ['redis', 'redis-8', ['--appendfsync', 'always']],
  ['postgres', 'postgres-18', []],
  ['mysql', 'mariadb-11.8', []],
] as const

interface Place {
  readonly store: StoreName
  readonly storeUrl: string
  readonly url: string
  readonly outage: Outage
}

/** One test's consumers, queue and history. */
class Scene {
  readonly history: History
  readonly queue: Queue
  readonly crew: Crew
  readonly #place: Place
  readonly #random: (bound: number) => number

  constructor(place: Place, historyFile: string, queue: Queue, random: (bound: number) => number) {
    this.history = new History(historyFile)
    this.queue = queue
    this.crew = new Crew({ ...place, queue: queue.name, historyFile })
    this.#place = place
    this.#random = random
  }

  async killInHandler(keys: readonly string[]): Promise<void> {
    const kill = this.crew.killInHandler(this.#random(CONSUMERS), 1 + this.#random(HALT_WITHIN))
    await this.queue.sendTwice(keys)
    await kill
  }

  async takeStoreAway(keys: readonly string[]): Promise<void> {
    const { outage } = this.#place
    const begun = this.count('run') + 1 + this.#random(DOWN_WITHIN)
    await this.queue.sendTwice(keys)
    await until('some runs', () => this.count('run') >= begun)
    const [outages, recoveries] = [this.count('outage'), this.count('recovered')]
    this.history.append({ type: 'down' })
    await outage.begin()
    await until('a consumer that misses its store', () => this.count('outage') > outages)
    await outage.end()
    await until('the consumers to have it back', () => {
      const noticed = this.count('outage') - outages
      return this.count('recovered') - recoveries >= noticed
    })
    this.history.append({ type: 'up' })
  }

  /** What a consumer holds counts as in no queue, so they have to end before the count is to be believed. */
  async settle(keys: readonly string[]): Promise<void> {
    for (;;) {
      await until('an empty queue', async () => this.#allDone(keys) && (await this.queue.left()) === 0)
      await this.crew.stop()
      if ((await this.queue.left()) === 0) return
      await this.crew.start(CONSUMERS)
    }
  }

  #allDone(keys: readonly string[]): boolean {
    const done = new Set(this.history.events().map(keyDoneBy))
    return keys.every((key) => done.has(key))
  }

  count(type: Event['type']): number {
    return this.history.count(type)
  }
}

function keyDoneBy(event: Event): string | undefined {
  return event.type === 'done' || event.type === 'known' ? event.key : undefined
}

async function openScene(place: Place, seed: number): Promise<Scene> {
  const folder = mkdtempSync(join(tmpdir(), 'oncemq-faults-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const queue = await Queue.open(place.url, `faults-${place.store}-${randomInt(2 ** 31)}`)
  onTestFinished(() => queue.close())
  const scene = new Scene(place, join(folder, 'history'), queue, randomOf(seed))
  onTestFinished(() => scene.crew.end())
  return scene
}

async function notDone(
  { store, storeUrl }: Place,
  /** The queue's name is the consumer group's too. */
  queue: string,
  keys: readonly string[],
): Promise<string[]> {
  const opened = stores[store](storeUrl)
  await opened.open()
  const records = await opened.inspect(keys.map((key) => recordId(queue, key, { source: queue })))
  await opened.close()
  return keys.filter((_, position) => records[position]?.state !== 'done')
}

async function expectNothingLost(place: Place): Promise<void> {
  const seed = seedOf()
  const hint = `ONCEMQ_SEED=${seed}`
  const scene = await openScene(place, seed)
  const { crew, queue, history } = scene
  const keys: string[] = []
  await crew.start(CONSUMERS)
  for (let round = 0; round < ROUNDS; round += 1) {
    const half = (name: string): string[] => Array.from({ length: HALF }, (_, i) => `${name}-${round}-${i}`)
    const [atKill, atOutage] = [half('kill'), half('outage')]
    keys.push(...atKill, ...atOutage)
    await scene.killInHandler(atKill)
    await scene.takeStoreAway(atOutage)
    await scene.settle(keys)
    if (round + 1 < ROUNDS) await crew.start(CONSUMERS)
  }
  expect(wrongsIn(history.events(), keys), hint).toEqual([])
  expect(scene.count('ack'), `${hint}: acks in the history`).toBeGreaterThanOrEqual(2 * keys.length)
  expect(await notDone(place, queue.name, keys), `${hint}: keys that are not done`).toEqual([])
  expect(await queue.parked(), `${hint}: messages parked`).toBe(0)
}

describeService('rabbitmq-4.0', ({ url }) => {
  test('sqlite', { timeout: TEST_MS }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'oncemq-faults-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const path = join(folder, 'oncemq.db')
    await expectNothingLost({ store: 'sqlite', storeUrl: path, url, outage: heldLock(path) })
  })

  for (const [store, name, args] of SERVERS) {
    describeService(name, { own: true, args }, (server) => {
      test(store, { timeout: TEST_MS }, () =>
        expectNothingLost({ store, storeUrl: server.url, url, outage: serverKill(server) }),
      )
    })
  }
})
