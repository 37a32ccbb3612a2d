// kill -9 of a consumer between every two steps: 200 messages, each sent twice, three processes on one SQLite
// file.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { SqliteStore } from '@oncemq/sqlite'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, onTestFinished, test } from 'vitest'
import { connected, newQueue, quiet, readyIn, until } from '../set-up.ts'
import { type Event, type Point, points, type WorkerConfig } from './points.ts'

const WORKER = fileURLToPath(new URL('worker.ts', import.meta.url))
const WORKERS = 3
const DEATHS = 4 * points.length
const VISITS_MAX = 8
const KEYS = 200
const TEST_MS = 120_000
/** Longer than anything polls: what can still be settled is settled then. */
const SETTLE_MS = 1500

const keys = Array.from({ length: KEYS }, (_, position) => `k${position}`)

/** Small and repeatable, from the seed that a failure prints. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** Keeps three workers alive: each dies at its appointed point, until all deaths are used up. */
class Crew {
  readonly #config: Omit<WorkerConfig, 'death'>
  readonly #deaths: NonNullable<WorkerConfig['death']>[]
  readonly #alive = new Set<ChildProcess>()
  #isOver = false

  constructor(config: Omit<WorkerConfig, 'death'>, seed: number) {
    const next = random(seed)
    const order = Array.from({ length: DEATHS }, (_, position) => points[position % points.length] as Point)
    this.#config = config
    this.#deaths = order
      .map((point) => ({ point, visit: 1 + Math.floor(next() * VISITS_MAX), rank: next() }))
      .toSorted((one, other) => one.rank - other.rank)
    for (let count = 0; count < WORKERS; count += 1) this.#hire()
  }

  end(): void {
    this.#isOver = true
    for (const worker of this.#alive) worker.kill('SIGKILL')
  }

  #hire(): void {
    const config: WorkerConfig = { ...this.#config, death: this.#deaths.pop() }
    const args = ['--conditions=@oncemq/source', '--no-warnings', WORKER, JSON.stringify(config)]
    const worker = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] })
    this.#alive.add(worker)
    worker.on('exit', () => {
      this.#alive.delete(worker)
      if (!this.#isOver) this.#hire()
    })
  }
}

interface Outcome {
  readonly events: readonly Event[]
  readonly effects: Readonly<Record<string, number>>
  readonly parked: number | undefined
  readonly left: number | undefined
}

async function run(url: string, mode: WorkerConfig['mode'], seed: number): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'oncemq-crash-'))
  const [database, history] = [join(folder, 'keys.db'), join(folder, 'history')]
  const tables = await openTables(database)
  const connection = await connected(url)
  const { queue, channel } = await newQueue(connection, 'quorum')
  for (const key of [...keys, ...keys]) channel.sendToQueue(queue, Buffer.from(key), { messageId: key })
  await channel.waitForConfirms()
  const crew = new Crew({ url, queue, database, history, mode }, seed)
  onTestFinished(() => {
    crew.end()
    tables.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const done = tables.prepare("SELECT count(*) AS count FROM oncemq WHERE state = 2 AND label LIKE 'crash/%'")
  await until('all keys are done', () => done.get()?.count === KEYS, TEST_MS)
  await until('an empty queue', async () => (await readyIn(connection, queue)) === 0)
  await quiet(SETTLE_MS)
  crew.end()
  await until('the end of the consumers', async () => (await channel.checkQueue(queue)).consumerCount === 0)
  const rows = tables.prepare('SELECT key, count(*) AS count FROM effects GROUP BY key').all()
  return {
    events: eventsIn(history),
    effects: Object.fromEntries(rows.map(({ key, count }) => [String(key), Number(count)])),
    parked: await readyIn(connection, `${queue}.parked`),
    left: await readyIn(connection, queue),
  }
}

/** The user's table, and the store's, so that they can be read before a worker has made them. */
async function openTables(database: string): Promise<DatabaseSync> {
  const store = new SqliteStore({ path: database })
  await store.open()
  await store.close()
  const tables = new DatabaseSync(database, { timeout: 5000 })
  tables.exec('CREATE TABLE effects (key TEXT)')
  return tables
}

function eventsIn(history: string): Event[] {
  const lines = readFileSync(history, 'utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Event)
}

/** Runs of a key after it was done, or after one whose process neither was killed nor lost its lease. */
function unexplained(events: readonly Event[]): string[] {
  const killed = new Set(events.flatMap((event) => (event.type === 'kill' ? [event.pid] : [])))
  const previous = new Map<string, { pid: number; isOver: boolean }>()
  const found: string[] = []
  for (const event of events) {
    if (event.type === 'kill') continue
    const { key, pid } = event
    const before = previous.get(key)
    if (event.type === 'done') previous.set(key, { pid, isOver: true })
    if (event.type === 'lost' && before !== undefined) previous.set(key, { pid: Number.NaN, isOver: false })
    if (event.type !== 'run') continue
    if (before?.isOver === true) found.push(`${key} ran in ${pid} after it was done in ${before.pid}`)
    else if (before !== undefined && !killed.has(before.pid) && !Number.isNaN(before.pid)) {
      found.push(`${key} ran in ${pid} though ${before.pid} lives`)
    }
    previous.set(key, { pid, isOver: false })
  }
  return found
}

/** Keys whose effect was not committed exactly once. */
function notOnce(effects: Outcome['effects']): string[] {
  return keys.filter((key) => effects[key] !== 1).map((key) => `${key}: ${effects[key] ?? 0} effects`)
}

describeService('rabbitmq-4.0', ({ url }) => {
  test.each(['lease', 'transactional'] as const)(
    '%s: nothing lost',
    { timeout: 2 * TEST_MS },
    async (mode) => {
      const seed = Number(process.env.ONCEMQ_SEED ?? Math.floor(Math.random() * 2 ** 31))
      const { events, effects, parked, left } = await run(url, mode, seed)
      const hint = `seed ${seed}`
      const kills = events.flatMap((event) => (event.type === 'kill' ? [event.point] : []))
      const ran = new Set(events.flatMap((event) => (event.type === 'run' ? [event.key] : [])))
      expect(new Set(kills).size, `${hint}: points at which a process died`).toBe(points.length)
      expect(ran.size, `${hint}: keys that ran`).toBe(KEYS)
      expect([left, parked], `${hint}: messages left, messages parked`).toEqual([0, undefined])
      expect(mode === 'lease' ? unexplained(events) : notOnce(effects), hint).toEqual([])
    },
  )
})
