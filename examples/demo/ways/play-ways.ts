import { join } from 'node:path'
import { connect } from '@onify/fake-amqplib'
import type { Outcome, Told, Way, WayName } from '@oncemq/example-five-ways'
import { ordersOf, PaymentProvider, play, RabbitmqQueue, wayNames, ways } from '@oncemq/example-five-ways'
import { EMBEDDED_URL, startEmbeddedWorker } from './embedded-worker.ts'
import { ownSqliteShop } from './sqlite-shop.ts'
import { CountedMemoryStore, Statements } from './statements.ts'

/** What one way came to; `undefined` for a way that needs a server. */
export interface PlayedWay {
  readonly name: WayName
  readonly way: Way
  readonly result: (Outcome & StatementsPerMessage) | undefined
}

/** Medians, so that a message that waits for the lease of a dead worker does not count for all. */
interface StatementsPerMessage {
  readonly forNew: number
  readonly forCopy: number
}

/** All ways that need no server, side by side: the broker in this process, and SQLite files in `folder`. */
export function playWays(folder: string, run: string, signal: AbortSignal): Promise<PlayedWay[]> {
  return Promise.all(
    wayNames.map(async (name) => {
      const way = ways[name]
      const result = way.broker === 'rabbitmq' ? await playOne({ name, way, folder, run }, signal) : undefined
      return { name, way, result }
    }),
  )
}

interface Part {
  readonly name: WayName
  readonly way: Way
  readonly folder: string
  readonly run: string
}

async function playOne({ name, way, folder, run }: Part, signal: AbortSignal) {
  const orders = ordersOf(run)
  const path = join(folder, `${name}.db`)
  const queue = `${run}-${name}`
  const shop = ownSqliteShop(path)
  await shop.prepare(orders)
  const provider = await PaymentProvider.open()
  const connection = await connect(EMBEDDED_URL)
  const source = await RabbitmqQueue.declare(connection, queue)
  const statements = new Statements()
  const records = new CountedMemoryStore(statements)
  const stage = { way, queue, provider: provider.url, path, records, statements }
  const samples = new Samples(statements)
  try {
    const outcome = await play(
      {
        send: (order, sending) => source.send(order, sending),
        startWorker: (fault, tell) =>
          startEmbeddedWorker(stage, fault, (told) => {
            samples.take(told)
            tell(told)
          }),
        charges: async () => (way.effect === 'provider' ? provider.charges : shop.charges()),
      },
      orders,
      signal,
    )
    return { ...outcome, forNew: samples.median('completed'), forCopy: samples.median('duplicate') }
  } finally {
    await source.remove()
    await connection.close()
    await provider.close()
    await shop.remove()
  }
}

/** How many statements were run from a message's delivery to its settlement. They come one at a time. */
class Samples {
  readonly #statements: Statements
  readonly #taken: { readonly status: string; readonly count: number }[] = []
  #before = 0

  constructor(statements: Statements) {
    this.#statements = statements
  }

  take(told: Told): void {
    const { count } = this.#statements
    if (told.event === 'begun') this.#before = count
    else this.#taken.push({ status: told.status, count: count - this.#before })
  }

  median(status: string): number {
    const counts = this.#taken.filter((sample) => sample.status === status).map((sample) => sample.count)
    return counts.toSorted((one, other) => one - other)[counts.length >>> 1] ?? 0
  }
}
