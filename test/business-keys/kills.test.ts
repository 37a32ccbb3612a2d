import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { describeService } from '@oncemq/test-services/vitest'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { StatesShop } from './states-shop.ts'
import { mongoStates, mysqlStates, postgresStates, sqliteStates } from './states-shop.ts'
import type { Job, Kind } from './worker.ts'

const WORKER = fileURLToPath(new URL('worker.ts', import.meta.url))
const IDS = 24
const KILLS = 3
const WORKERS = 2
const WAIT_MS = 60_000

interface Answer {
  readonly position?: number
  readonly status?: string
}

/**
 * Delivers each message until a worker has settled it, as a broker does: what a killed worker had, and what
 * came early, is delivered again.
 */
class Deliveries {
  readonly #left = new Set<number>()
  readonly #messages: readonly Omit<Job, 'position'>[]
  readonly #args: readonly string[]
  readonly #workers = new Set<ChildProcess>()
  readonly #done = Promise.withResolvers<void>()
  kills = 0

  constructor(messages: readonly Omit<Job, 'position'>[], args: readonly string[]) {
    this.#messages = messages
    this.#args = args
    messages.forEach((_, position) => this.#left.add(position))
  }

  async run(): Promise<void> {
    for (let count = 0; count < WORKERS; count += 1) this.#start()
    const timer = setTimeout(() => {
      this.#done.reject(new Error(`${this.#left.size} messages were left`))
    }, WAIT_MS)
    await this.#done.promise.finally(() => clearTimeout(timer))
  }

  stop(): void {
    for (const worker of this.#workers) worker.kill('SIGKILL')
  }

  #start(): void {
    const worker = fork(WORKER, [...this.#args], {
      execArgv: ['--conditions=@oncemq/source'],
      // What MySQL's default collation means is told at each start.
      env: { ...process.env, NODE_NO_WARNINGS: '1' },
    })
    this.#workers.add(worker)
    worker.once('exit', (code) => {
      if (code !== null) this.#done.reject(new Error(`a worker ended by itself: ${code}`))
    })
    // In the middle of its work: a worker has several messages in hand at any time. Soon enough for all
    // kills to come before the work is done.
    let untilKill = randomInt(2, 8)
    worker.on('message', ({ position, status = '' }: Answer) => {
      if (position === undefined) return this.#deliverAll(worker)
      if (--untilKill === 0 && this.kills < KILLS) return this.#kill(worker)
      if (status !== 'completed' && status !== 'duplicate') return this.#deliverLater(worker, position)
      this.#left.delete(position)
      if (this.#left.size === 0) this.#done.resolve()
    })
  }

  #deliverAll(worker: ChildProcess): void {
    // Each worker gets all, in an order of its own: every message is delivered at least twice.
    const positions = [...this.#left].toSorted(() => randomInt(3) - 1)
    for (const position of positions) this.#deliver(worker, position)
  }

  #deliverLater(worker: ChildProcess, position: number): void {
    setTimeout(() => this.#deliver(worker, position), 20)
  }

  #deliver(worker: ChildProcess, position: number): void {
    if (worker.connected) worker.send({ ...this.#messages[position], position }, () => undefined)
  }

  #kill(worker: ChildProcess): void {
    this.#workers.delete(worker)
    worker.kill('SIGKILL')
    this.kills += 1
    this.#start()
  }
}

/** Both ways at once, by the same workers. The effects are counted by a client that is nobody's. */
function survivesKills<Tx>(kind: Kind, open: () => Promise<StatesShop<Tx>>): void {
  test('one effect each, whichever worker is killed when', { timeout: WAIT_MS + 30_000 }, async () => {
    const shop = await open()
    onTestFinished(() => shop.close())
    const ids = Array.from({ length: IDS }, (_, count) => `id-${count}`)
    for (const id of ids) await shop.create(id, 'pending')
    const messages = ids.flatMap((id) =>
      (['order', 'pay', 'ship'] as const).map((transition) => ({ id, transition })),
    )
    const deliveries = new Deliveries(messages, [kind, shop.location])
    onTestFinished(() => deliveries.stop())
    await deliveries.run()
    deliveries.stop()
    expect(deliveries.kills).toBe(KILLS)
    for (const { id, transition } of messages) {
      const text = `${id} ${transition}`
      expect([text, await shop.effects(text)]).toEqual([text, 1])
    }
    for (const id of ids) expect([id, await shop.stateOf(id)]).toEqual([id, 'done'])
  })
}

describe('sqlite', () => {
  survivesKills('sqlite', sqliteStates)
})
describeService('postgres-18', (server) => survivesKills('postgres', () => postgresStates(server)))
describeService('mysql-8.0', (server) => survivesKills('mysql', () => mysqlStates(server)))
describeService('mariadb-11.8', (server) => survivesKills('mysql', () => mysqlStates(server)))
// The server ends the transactions of killed workers after this time, and not after a minute.
const args = ['--setParameter', 'transactionLifetimeLimitSeconds=2']
describeService('mongodb-6', { args }, (server) => survivesKills('mongodb', () => mongoStates(server)))
