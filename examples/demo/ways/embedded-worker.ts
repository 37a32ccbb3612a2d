import type { DatabaseSync } from 'node:sqlite'
import { connect } from '@onify/fake-amqplib'
import type { Fault, Stand, Told, Way, Worker } from '@oncemq/example-five-ways'
import { sharedOptions, Watch } from '@oncemq/example-five-ways'
import { LEASE_MS } from '../demo-broker.ts'
import { Failure } from '../failure.ts'
import { MortalClock } from '../mortal-clock.ts'
import { asOnTheWire } from './as-on-the-wire.ts'
import { openSqliteShop } from './sqlite-shop.ts'
import type { Statements } from './statements.ts'
import { CountedDatabase } from './statements.ts'

export const EMBEDDED_URL = 'amqp://embedded-ways'
/** As the store's own connections have it, which wait by timers beyond. */
const LOCK_WAIT_MS = 5

export interface EmbeddedStage {
  readonly way: Way
  readonly queue: string
  readonly provider: string
  readonly path: string
  /** What stands for Redis: it outlives a worker. */
  readonly records: ReturnType<Stand<DatabaseSync>['records']>
  readonly statements: Statements
}

/** A worker in this process, which dies by losing its connection, its database handle and its timers. */
export async function startEmbeddedWorker(
  { way, queue, provider, path, records, statements }: EmbeddedStage,
  fault: Fault,
  tell: (told: Told) => void,
): Promise<Worker> {
  const clock = new MortalClock()
  const connection = asOnTheWire(await connect(EMBEDDED_URL))
  connection.on('error', () => undefined)
  const database = new CountedDatabase(path, statements, { timeout: LOCK_WAIT_MS })
  const { promise: ended, resolve: end } = Promise.withResolvers<void>()
  let isAlive = true
  const die = async (): Promise<never> => {
    isAlive = false
    clock.die()
    database.close()
    await connection.close()
    end()
    return new Promise(() => undefined)
  }
  const { consumer, dedup } = await way.start<DatabaseSync>({
    options: sharedOptions(clock, LEASE_MS),
    queue,
    provider,
    watch: new Watch({ fault, die, tell: async (told) => tell(told), atOnce: 1 }),
    connection: async () => connection,
    simpleConsumer: () => {
      throw new Failure('RocketMQ: expected a way that needs no server, received one that does')
    },
    shop: () => openSqliteShop(database, clock),
    records: () => records,
  })
  return {
    ended,
    async stop() {
      // A death that comes first leaves nothing to be stopped.
      await Promise.race([consumer.close().then(() => dedup.close()), ended])
      if (!isAlive) return
      await connection.close()
      database.close()
      end()
    },
  }
}
