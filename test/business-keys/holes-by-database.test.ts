// The holes that docs/which-way.md names and that are of one database, shown on it.
import type { Deduplicator, ProcessOutcome } from '@oncemq/core'
import { createDeduplicator, MemoryStore, naturalKey } from '@oncemq/core'
import type { KeyedStore } from '@oncemq/core/store'
import { duplicateKeyOf as ofPostgres } from '@oncemq/postgres'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, onTestFinished, test } from 'vitest'
import { mongoShop, mysqlShop, postgresShop } from './shop.ts'

const statusesOf = async (outcomes: Promise<ProcessOutcome>[]): Promise<string[]> =>
  (await Promise.all(outcomes)).map(({ status }) => status)

/** Closed with the test, as the shop is. */
function guarded<Tx>(shop: {
  readonly store: KeyedStore<Tx>
  readonly keys: { readonly id: string }
  close(): Promise<void>
}): Deduplicator<Tx> {
  onTestFinished(() => shop.close())
  const strategy = naturalKey({ constraint: shop.keys.id })
  const dedup = createDeduplicator({ store: shop.store, consumerGroup: 'orders', strategy })
  onTestFinished(() => dedup.close())
  return dedup
}

describeService('postgres-18', (server) => {
  test('two starts of one event may overlap, and what both do outside is done twice', async () => {
    const shop = await postgresShop(server)
    const dedup = guarded(shop)
    const both = Promise.withResolvers<void>()
    let mails = 0
    const deliver = () =>
      dedup.process({ key: 'a' }, async ({ tx }) => {
        mails += 1
        if (mails === 2) both.resolve()
        await both.promise
        await shop.order(tx, 'a', `ref-${mails}`)
      })
    expect((await statusesOf([deliver(), deliver()])).toSorted()).toEqual(['completed', 'duplicate'])
    expect([mails, await shop.orders()]).toEqual([2, 1])
  })

  test('with a client of your own the key of any schema or database passes that has its name', async () => {
    const shop = await postgresShop(server)
    onTestFinished(() => shop.close())
    await shop.pool.query('CREATE SCHEMA archive')
    await shop.pool.query('CREATE TABLE archive.orders (id TEXT PRIMARY KEY)')
    await shop.pool.query("INSERT INTO archive.orders VALUES ('a')")
    const statuses: string[] = []
    for (const constraint of ['orders_pkey', 'public.orders_pkey']) {
      const strategy = naturalKey({ constraint, duplicateKeyOf: ofPostgres })
      const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'orders', strategy })
      onTestFinished(() => dedup.close())
      const insert = async () => void (await shop.pool.query("INSERT INTO archive.orders VALUES ('a')"))
      statuses.push((await dedup.process({ key: 'a' }, insert)).status)
    }
    expect(statuses).toEqual(['duplicate', 'failed'])
  })
})

describeService('mysql-8.0', (server) => {
  test('a key with a collation takes another event for a duplicate, which is lost', async () => {
    const shop = await mysqlShop(server)
    const dedup = guarded(shop)
    const order = (id: string) => dedup.process({ key: id }, ({ tx }) => shop.order(tx, id, `ref of ${id}`))
    expect(await statusesOf([order('order-A')])).toEqual(['completed'])
    expect(await statusesOf([order('order-a')])).toEqual(['duplicate'])
    expect(await shop.orders()).toBe(1)
  })

  test('INSERT IGNORE cuts what does not fit, and drops rows with a broken foreign key', async () => {
    const shop = await mysqlShop(server)
    onTestFinished(() => shop.close())
    const { pool } = shop
    await pool.query('CREATE TABLE codes (code VARCHAR(3) PRIMARY KEY, payment VARCHAR(60) DEFAULT NULL)')
    await pool.query('ALTER TABLE codes ADD FOREIGN KEY (payment) REFERENCES payments (id)')
    await pool.query("INSERT IGNORE INTO codes VALUES ('abcdef', NULL), ('xyz', 'no such payment')")
    const [rows] = await pool.query('SELECT code FROM codes')
    expect(rows).toEqual([{ code: 'abc' }])
  })
})

describeService('mariadb-11.8', (server) => {
  test('a key of its name that a trigger violates passes for it, and the row is lost', async () => {
    const shop = await mysqlShop(server)
    const dedup = guarded(shop)
    await shop.pool.query(
      'CREATE TRIGGER pays AFTER INSERT ON orders FOR EACH ROW INSERT INTO payments VALUES (1)',
    )
    const order = (id: string) => dedup.process({ key: id }, ({ tx }) => shop.order(tx, id, id))
    expect(await statusesOf([order('a')])).toEqual(['completed'])
    expect(await statusesOf([order('b')])).toEqual(['duplicate'])
    expect(await shop.orders()).toBe(1)
  })
})

describeService('mongodb-6', (server) => {
  test('a handler that keeps the violation to itself is run eight times, and has failed', async () => {
    const shop = await mongoShop(server)
    const dedup = guarded(shop)
    let runs = 0
    const order = () =>
      dedup.process({ key: 'a' }, async ({ tx }) => {
        runs += 1
        await shop.order(tx, 'a', 'a').catch(() => undefined)
      })
    expect(await statusesOf([order()])).toEqual(['completed'])
    expect(await statusesOf([order()])).toEqual(['transaction-conflict'])
    expect(runs).toBe(9)
  })

  test('a delivery beside an open handler of its event uses up attempts, since it cannot wait', async () => {
    const shop = await mongoShop(server)
    const dedup = guarded(shop)
    const [written, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const first = dedup.process({ key: 'a' }, async ({ tx }) => {
      await shop.order(tx, 'a', 'a')
      written.resolve()
      await go.promise
    })
    await written.promise
    const beside = await dedup.process({ key: 'a' }, ({ tx }) => shop.order(tx, 'a', 'a'))
    expect(beside).toMatchObject({ status: 'transaction-conflict', attempt: 1 })
    go.resolve()
    expect((await first).status).toBe('completed')
  })
})
