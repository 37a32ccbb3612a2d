// A handler that loses the connection of its own transaction each time, while the server goes on: its starts
// count, as those that end with their process do. When the server is gone, they do not.
import { createDeduplicator } from '@oncemq/core'
import type { Deduplicator, TransactionalStore } from '@oncemq/core'
import { MongoStore } from '@oncemq/mongodb'
import { MysqlStore } from '@oncemq/mysql'
import { PostgresStore } from '@oncemq/postgres'
import { describeService } from '@oncemq/test-services/vitest'
import type { ClientSession } from 'mongodb'
import { MongoClient } from 'mongodb'
import mysql from 'mysql2/promise'
import type pg from 'pg'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { until } from './until.ts'

const ATTEMPTS_MAX = 2

function opened<Tx>(store: TransactionalStore<Tx>): Deduplicator<Tx> {
  const options = { consumerGroup: 'cutting', attemptsMax: ATTEMPTS_MAX, sweepEveryMs: 0 } as const
  const dedup = createDeduplicator<Tx>({ store, strategy: 'transactional', ...options })
  onTestFinished(() => dedup.close())
  return dedup
}

async function expectAnEnd<Tx>(dedup: Deduplicator<Tx>, cut: (tx: Tx) => Promise<unknown>): Promise<void> {
  const starts: number[] = []
  const finals: unknown[] = []
  while (!finals.includes(true)) {
    const outcome = await dedup.process({ key: 'a' }, async ({ attempt, tx }) => {
      starts.push(attempt)
      await cut(tx)
    })
    expect(outcome).toMatchObject({ status: 'failed', error: { code: 'ONCEMQ_STORE_UNAVAILABLE' } })
    finals.push('final' in outcome && outcome.final)
    // A neighbour goes on.
    expect((await dedup.process({ key: `b${starts.length}` }, () => {})).status).toBe('completed')
  }
  expect([starts, finals]).toEqual([
    [1, 2, 3],
    [false, false, true],
  ])
}

describeService('postgres-18', { own: true }, (server) => {
  const store = (): PostgresStore => new PostgresStore({ url: server.url, timeoutMs: 1000 })

  test('it comes to an end', async () => {
    await expectAnEnd<pg.PoolClient>(opened(store()), (tx) =>
      tx.query('SELECT pg_terminate_backend(pg_backend_pid())'),
    )
  })

  test('a start under which the server is killed is none', async () => {
    const dedup = opened<pg.PoolClient>(store())
    await dedup.open()
    const outcome = await dedup.process({ key: 'c' }, async ({ tx }) => {
      await server.kill9()
      await tx.query('SELECT 1')
    })
    expect(outcome).toMatchObject({ status: 'store-down', error: { code: 'ONCEMQ_STORE_UNAVAILABLE' } })
    await server.start()
    let attempt: number | undefined
    await until('the store', async () => {
      const { status } = await dedup.process({ key: 'c' }, (context) => void (attempt = context.attempt))
      return status === 'completed'
    })
    expect(attempt).toBe(1)
  })
})

for (const service of ['mysql-8.0', 'mariadb-11.8'] as const) {
  describeService(service, (server) => {
    const others = mysql.createPool({ uri: server.url, connectionLimit: 1 })
    afterAll(() => others.end())

    test('it comes to an end', async () => {
      const store = new MysqlStore({ url: server.url, table: 'cutting', timeoutMs: 1000 })
      await expectAnEnd<mysql.PoolConnection>(opened(store), async (tx) => {
        await others.query(`KILL ${tx.threadId}`)
        await tx.query('SELECT 1')
      })
    })
  })
}

describeService('mongodb-6', { own: true, args: ['--setParameter', 'enableTestCommands=1'] }, (server) => {
  const client = new MongoClient(server.url)
  afterAll(() => client.close())

  test('it comes to an end', async () => {
    const store = new MongoStore({ collection: client.db().collection('oncemq'), timeoutMs: 1000 })
    await expectAnEnd<ClientSession>(opened(store), async (session) => {
      await client.db('admin').command({
        configureFailPoint: 'failCommand',
        mode: { times: 1 },
        data: { failCommands: ['insert'], closeConnection: true },
      })
      await client.db().collection('orders').insertOne({ order: 1 }, { session })
    })
  })
})
