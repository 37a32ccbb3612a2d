// Transactions that a team writes itself: what is documented works; what is wrong is told and writes nothing.
import { createDeduplicator } from '@oncemq/core'
import { MongoStore } from '@oncemq/mongodb'
import { mongooseTransactions } from '@oncemq/mongodb/orms'
import { PostgresStore } from '@oncemq/postgres'
import type { OrmTransactions } from '@oncemq/postgres/orms'
import { drizzleTransactions, knexTransactions, lendingPool, prismaTransactions } from '@oncemq/postgres/orms'
import { describeService } from '@oncemq/test-services/vitest'
import { newHex } from '@oncemq/test-stores'
import { PrismaPg } from '@prisma/adapter-pg'
import knex from 'knex'
import mongoose from 'mongoose'
import pg from 'pg'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { prismaClient } from './prisma-client.ts'
import { TABLES } from './scene.ts'

type Within = OrmTransactions<pg.PoolClient, pg.PoolClient>['within']

describeService('postgres-18', { own: true }, (server) => {
  let pool: pg.Pool
  beforeAll(async () => {
    pool = lendingPool(new pg.Pool({ connectionString: server.url, max: 12 }))
    for (const sql of TABLES) await pool.query(sql)
  })
  afterAll(() => pool.end())

  /** Handles a message by them, and answers what came of it and whether its effect is there. */
  async function handled(within: Within) {
    const store = new PostgresStore({ pool, transactions: { within } })
    const dedup = createDeduplicator({ store, consumerGroup: 'own', strategy: 'transactional' })
    const name = newHex()
    const outcome = await dedup.process({ key: name }, async ({ tx }) => {
      await tx.query('INSERT INTO effects VALUES ($1, $1)', [name])
    })
    const { rowCount } = await pool.query('SELECT FROM effects WHERE name = $1', [name])
    await dedup.close()
    return { outcome, effects: rowCount }
  }

  test.each<[string, string, Within]>([
    // The self-test at start finds these before a handler runs.
    [
      'call work twice',
      'store-refused',
      async (connection, work) => work(connection).then(() => work(connection)),
    ],
    ['do not call work', 'store-refused', async () => undefined as never],
    [
      'do not wait for work',
      'failed',
      async (connection, work) => {
        work(connection).catch(() => undefined)
        return undefined as never
      },
    ],
  ])('that %s are %s, and write nothing', async (_, status, within) => {
    expect(await handled(within)).toMatchObject({
      outcome: { status, error: { code: 'ONCEMQ_STORE_BROKEN' } },
      effects: 0,
    })
  })

  test('that keep an error of the handler to themselves do not commit', async () => {
    const store = new PostgresStore({
      pool,
      transactions: {
        within: (connection: pg.PoolClient, work) => work(connection).catch(() => undefined as never),
      },
    })
    const dedup = createDeduplicator({ store, consumerGroup: 'kept', strategy: 'transactional' })
    const failure = new Error('the handler failed')
    const outcome = await dedup.process({ key: newHex() }, () => Promise.reject(failure))
    expect(outcome).toMatchObject({ status: 'failed', error: failure })
    await dedup.close()
  })

  test('their own BEGIN, COMMIT and release do nothing, but what else they send is sent', async () => {
    const within: Within = async (connection, work) => {
      await connection.query('BEGIN ISOLATION LEVEL SERIALIZABLE')
      await connection.query("SET LOCAL application_name = 'a tenant'")
      const answer = await work(connection)
      const { rows } = await connection.query('SHOW application_name')
      expect(rows).toEqual([{ application_name: 'a tenant' }])
      await connection.query('COMMIT')
      connection.release()
      return answer
    }
    expect(await handled(within)).toMatchObject({ outcome: { status: 'completed' }, effects: 1 })
  })

  test('a connection keeps no listener of an ORM, and goes back to its pool', async () => {
    const single = lendingPool(new pg.Pool({ connectionString: server.url, max: 6 }))
    const prisma = prismaClient(new PrismaPg(single))
    const store = new PostgresStore({ pool: single, transactions: prismaTransactions(prisma, single) })
    const dedup = createDeduplicator({ store, consumerGroup: 'listeners', strategy: 'transactional' })
    const counts = new Set<number>()
    single.on('release', (_error, client) => void counts.add(client.listenerCount('error')))
    for (let count = 0; count < 5; count += 1) await dedup.run(newHex(), async () => undefined)
    // The pool's own, and none or that of the store.
    expect(Math.max(...counts)).toBeLessThanOrEqual(2)
    await dedup.close()
    await prisma.$disconnect()
    await single.end()
  })

  test('a lending pool is one to another copy of the package too', async () => {
    vi.resetModules()
    const copy = await import('@oncemq/postgres/orms')
    expect(copy.prismaTransactions).not.toBe(prismaTransactions)
    expect(() => copy.prismaTransactions({ $transaction: () => undefined } as never, pool)).not.toThrow()
  })

  test('what is no ORM is refused at once', () => {
    const options = { name: 'OptionError', code: 'ONCEMQ_OPTION_INVALID' }
    const wrongs = [
      () => knexTransactions(knex as never),
      () => drizzleTransactions(undefined as never),
      () => lendingPool(undefined as never),
      () => lendingPool({}),
      () => prismaTransactions({ $transaction: () => undefined } as never, pool.options),
      () => new PostgresStore({ pool, transactions: knex({ client: 'pg' }) as never }),
    ]
    for (const wrong of wrongs) expect(wrong).toThrow(expect.objectContaining(options) as never)
  })
})

describeService('mongodb-6', { own: true }, (server) => {
  test('a document of Mongoose knows again that it is new when its transaction is rolled back', async () => {
    const connection = await mongoose.createConnection(server.url).asPromise()
    const Effect = connection.model('Effect', new mongoose.Schema({ name: String }))
    await Effect.createCollection()
    const collection = connection.getClient().db().collection('oncemq')
    const store = new MongoStore({ collection, transactions: mongooseTransactions(connection) })
    const dedup = createDeduplicator({ store, consumerGroup: 'own', strategy: 'transactional' })
    const effect = new Effect({ name: 'a' })
    const handle = (failure?: Error) =>
      dedup.process({ key: 'a' }, async ({ tx: session }) => {
        await effect.save({ session })
        if (failure !== undefined) throw failure
      })
    expect((await handle(new Error('the handler failed'))).status).toBe('failed')
    expect(effect.isNew).toBe(true)
    expect((await handle()).status).toBe('completed')
    expect([effect.isNew, await Effect.countDocuments()]).toEqual([false, 1])
    await dedup.close()
    await connection.close()
  })
})
