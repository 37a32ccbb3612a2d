import type { RowAnswer, RowWrite } from '@oncemq/core/store'
import { createDeduplicator } from '@oncemq/core'
import * as mongo from '@oncemq/mongodb'
import * as mysql from '@oncemq/mysql'
import * as postgres from '@oncemq/postgres'
import * as sqlite from '@oncemq/sqlite'
import { describeService } from '@oncemq/test-services/vitest'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Shop } from './shop.ts'
import { mongoShop, mysqlShop, postgresShop, sqliteShop } from './shop.ts'

type Write<Tx> = (tx: Tx, row: RowWrite) => Promise<RowAnswer> | RowAnswer

interface Helpers<Tx> {
  readonly shop: Shop<Tx>
  readonly id: string
  readonly insertOnce: Write<Tx>
  readonly upsert: Write<Tx>
  refOf(id: string): Promise<unknown>
}

/** The helpers of a database, each called in a transaction of the store, as a handler calls them. */
function fixtureOf<Tx>(open: () => Promise<Helpers<Tx>>) {
  let helpers: Helpers<Tx>

  beforeAll(async () => {
    helpers = await open()
  })
  afterAll(() => helpers.shop.close())

  const rowOf = (key: string, ref: string): RowWrite => ({
    table: 'orders',
    key: { [helpers.id]: key },
    values: { ref },
  })

  /** In a transaction of the store, as a handler is. */
  async function write(step: 'insertOnce' | 'upsert', row: RowWrite): Promise<unknown> {
    const dedup = createDeduplicator<Tx>({
      store: helpers.shop.store,
      consumerGroup: 'orders',
      strategy: 'transactional',
    })
    let answer: unknown
    const outcome = await dedup.process({ key: undefined }, async ({ tx }) => {
      answer = await helpers[step](tx, row)
    })
    await dedup.close()
    return outcome.status === 'completed' ? answer : outcome.status
  }

  return { helpersOf: () => helpers, rowOf, write }
}

function answersWhetherItWasThere<Tx>(open: () => Promise<Helpers<Tx>>): void {
  const { helpersOf, rowOf, write } = fixtureOf(open)

  test('insertOnce inserts, and leaves a row that was there as it is', async () => {
    expect(await write('insertOnce', rowOf('a', 'ref-a'))).toBe('inserted')
    expect(await write('insertOnce', rowOf('a', 'ref-other'))).toBe('was-there')
    expect(await helpersOf().refOf('a')).toBe('ref-a')
  })

  test('upsert inserts, and changes a row that was there, also to what it is', async () => {
    expect(await write('upsert', rowOf('b', 'ref-b'))).toBe('inserted')
    expect(await write('upsert', rowOf('b', 'ref-c'))).toBe('was-there')
    expect(await write('upsert', rowOf('b', 'ref-c'))).toBe('was-there')
    expect(await helpersOf().refOf('b')).toBe('ref-c')
  })

  test('another unique key is no answer', async () => {
    expect(await write('insertOnce', rowOf('c', 'ref-1'))).toBe('inserted')
    expect(await write('insertOnce', rowOf('d', 'ref-1'))).toBe('failed')
    expect(await write('upsert', rowOf('d', 'ref-1'))).toBe('failed')
    expect(await helpersOf().refOf('d')).toBeUndefined()
  })

  test('of many at once one inserts', async () => {
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => write('insertOnce', rowOf('e', 'ref-e'))),
    )
    expect(answers.map(String).toSorted()).toEqual([
      'inserted',
      ...Array.from({ length: 7 }, () => 'was-there'),
    ])
  })

  test('names that are no plain ones, and keys without values, are refused', async () => {
    const wrong: RowWrite[] = [
      { table: 'orders', key: {} },
      { table: 'orders', key: { [helpersOf().id]: null } },
      { table: 'orders', key: { [helpersOf().id]: undefined } },
      { table: 'orders', key: { [helpersOf().id]: 'f' }, values: { 'ref) VALUES (1); --': 'x' } },
      { table: 'orders', key: { 'id" OR 1=1 --': 'f' } },
      { table: 'orders', key: { $where: 'f' } },
    ]
    for (const row of wrong) expect(await write('insertOnce', row)).toBe('failed')
  })
}

describe('sqlite', () => {
  answersWhetherItWasThere(async () => {
    const shop = await sqliteShop()
    const { DatabaseSync } = await import('node:sqlite')
    const refOf = async (id: string) => {
      const database = new DatabaseSync(shop.path)
      const row = database.prepare('SELECT ref FROM orders WHERE id = ?').get(id)
      database.close()
      return row?.['ref']
    }
    return { shop, id: 'id', insertOnce: sqlite.insertOnce, upsert: sqlite.upsert, refOf }
  })
})

describeService('postgres-18', (server) =>
  answersWhetherItWasThere(async () => {
    const shop = await postgresShop(server)
    const refOf = async (id: string) =>
      (await shop.pool.query<{ ref: string }>('SELECT ref FROM orders WHERE id = $1', [id])).rows[0]?.ref
    return { shop, id: 'id', insertOnce: postgres.insertOnce, upsert: postgres.upsert, refOf }
  }),
)

for (const name of ['mysql-8.0', 'mariadb-11.8'] as const) {
  describeService(name, (server) =>
    answersWhetherItWasThere(async () => {
      const shop = await mysqlShop(server)
      const refOf = async (id: string) => {
        const [rows] = await shop.pool.query('SELECT ref FROM orders WHERE id = ?', [id])
        return (rows as { ref: string }[])[0]?.ref
      }
      return { shop, id: 'id', insertOnce: mysql.insertOnce, upsert: mysql.upsert, refOf }
    }),
  )
}

describeService('mongodb-6', (server) =>
  answersWhetherItWasThere(async () => {
    const shop = await mongoShop(server)
    const orders = shop.database.collection<{ _id: string; ref: string }>('orders')
    const refOf = async (id: string) => (await orders.findOne({ _id: id }))?.ref
    return {
      shop,
      id: '_id',
      insertOnce: (session, { key, values = {} }) => mongo.insertOnce(orders, session, { key, values }),
      upsert: (session, { key, values = {} }) => mongo.upsert(orders, session, { key, values }),
      refOf,
    }
  }),
)
