import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, onTestFinished, test } from 'vitest'
import { postgresShop } from './shop.ts'

const WORKER = fileURLToPath(new URL('worker.ts', import.meta.url))
const EVENTS = 80
const KILLS = 4
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
  readonly #messages: readonly object[]
  readonly #args: readonly string[]
  readonly #workers = new Set<ChildProcess>()
  kills = 0

  constructor(messages: readonly object[], args: readonly string[]) {
    this.#messages = messages
    this.#args = args
    messages.forEach((_, position) => this.#left.add(position))
  }

  async run(): Promise<void> {
    for (let count = 0; count < WORKERS; count += 1) this.#start()
    const endMs = performance.now() + WAIT_MS
    while (this.#left.size > 0) {
      if (performance.now() > endMs) throw new Error(`${this.#left.size} messages were left`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  stop(): void {
    for (const worker of this.#workers) worker.kill('SIGKILL')
  }

  #start(): void {
    const worker = fork(WORKER, [...this.#args], { execArgv: ['--conditions=@oncemq/source'] })
    this.#workers.add(worker)
    // In the middle of its work: a worker has several messages in hand at any time. Soon enough for all
    // kills to come before the work is done.
    let untilKill = randomInt(3, 10)
    worker.on('message', ({ position, status = '' }: Answer) => {
      if (position === undefined) return this.#deliverAll(worker)
      if (--untilKill === 0 && this.kills < KILLS) return this.#kill(worker)
      if (status === 'completed' || status === 'duplicate') this.#left.delete(position)
      else setTimeout(() => this.#deliver(worker, position), 20)
    })
  }

  #deliverAll(worker: ChildProcess): void {
    // Each worker gets all, in an order of its own: every message is delivered at least twice.
    const positions = [...this.#left].toSorted(() => randomInt(3) - 1)
    for (const position of positions) this.#deliver(worker, position)
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

describeService('postgres-18', (server) => {
  test.each(['naturalKey', 'stateMachine'])(
    '%s: one effect each, whichever worker is killed when',
    async (way) => {
      const shop = await postgresShop(server)
      onTestFinished(() => shop.close())
      await shop.pool.query('CREATE TABLE effects (text TEXT NOT NULL)')
      await shop.pool.query('CREATE TABLE parcels (id TEXT PRIMARY KEY, state TEXT NOT NULL)')
      const transitions = way === 'naturalKey' ? ['order'] : ['pay', 'ship']
      const ids = Array.from({ length: EVENTS }, (_, count) => `id-${count}`)
      if (way === 'stateMachine') {
        await shop.pool.query("INSERT INTO parcels SELECT unnest($1::text[]), 'pending'", [ids])
      }
      const messages = ids.flatMap((id) => transitions.map((transition) => ({ id, transition })))
      const deliveries = new Deliveries(messages, [shop.url, way])
      onTestFinished(() => deliveries.stop())
      await deliveries.run()
      expect(deliveries.kills).toBe(KILLS)
      const { rows } = await shop.pool.query<{ texts: string; all: string }>(
        'SELECT count(DISTINCT text) AS texts, count(*) AS all FROM effects',
      )
      expect(rows).toEqual([{ texts: `${messages.length}`, all: `${messages.length}` }])
      deliveries.stop()
    },
  )
})
