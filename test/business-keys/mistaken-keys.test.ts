// Unique keys that are taken for another one, or not known again.
import type { Deduplicator, ProcessOutcome } from '@oncemq/core'
import { createDeduplicator, naturalKey, PermanentError } from '@oncemq/core'
import { duplicateKeyOf as ofMongo } from '@oncemq/mongodb'
import { duplicateKeyOf as ofMysql } from '@oncemq/mysql'
import { describeService } from '@oncemq/test-services/vitest'
import type { ClientSession } from 'mongodb'
import mysql from 'mysql2/promise'
import type { PoolConnection } from 'mysql2/promise'
import type pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Shop } from './shop.ts'
import { mongoShop, mysqlShop, postgresShop, sqliteShop } from './shop.ts'

function fixtureOf<Tx, Own extends Shop<Tx>>(open: () => Promise<Own & Shop<Tx>>) {
  let shop: Own & Shop<Tx>
  const opened: Deduplicator<Tx>[] = []
  const findings: string[] = []

  beforeAll(async () => {
    shop = await open()
    const seed = await process(async (tx) => shop.order(tx, 'there', 'there'))
    expect(seed.status).toBe('completed')
  })
  afterEach(async () => {
    findings.length = 0
    await Promise.all(opened.splice(0).map((dedup) => dedup.close()))
  })
  afterAll(() => shop.close())

  /** Each handler is a delivery of its own. */
  async function process(
    work: (tx: Tx) => Promise<unknown> | void,
    constraint = shop.keys.id,
  ): Promise<ProcessOutcome> {
    return (await openFor(constraint)).process({ key: undefined }, async ({ tx }) => void (await work(tx)))
  }

  async function openFor(constraint: string): Promise<Deduplicator<Tx>> {
    const strategy = naturalKey({ constraint })
    const dedup = createDeduplicator<Tx>({ store: shop.store, consumerGroup: 'orders', strategy })
    opened.push(dedup)
    dedup.on('finding', ({ code }) => findings.push(code))
    await dedup.open()
    return dedup
  }

  async function twice(work: (tx: Tx) => Promise<unknown> | void, constraint: string): Promise<string[]> {
    return [(await process(work, constraint)).status, (await process(work, constraint)).status]
  }

  return { shopOf: () => shop, process, twice, open: openFor, findings }
}

const unfit = expect.objectContaining({ code: 'ONCEMQ_TABLE_UNFIT' }) as unknown

/** On every database. */
function saysWhatItWants<Tx>(fixture: ReturnType<typeof fixtureOf<Tx, Shop<Tx>>>): void {
  test('a PermanentError of the handler is what it says, whatever stands behind it', async () => {
    const { process, shopOf } = fixture
    const outcome = await process((tx) =>
      shopOf()
        .order(tx, 'there', 'other')
        .catch((cause: unknown) => Promise.reject(new PermanentError('put it aside', { cause }))),
    )
    expect(outcome).toMatchObject({ status: 'failed', final: true, reason: 'permanent' })
  })
}

describe('sqlite', () => {
  const fixture = fixtureOf(sqliteShop)
  saysWhatItWants(fixture)

  test('a key is known by its names, whatever is in them', async () => {
    const create = 'CREATE TABLE "a:b" ("it\'s" TEXT PRIMARY KEY NOT NULL)'
    await fixture.process((tx) => tx.exec(create))
    const insert = 'INSERT INTO "a:b" VALUES (1)'
    expect(await fixture.twice((tx) => tx.exec(insert), "a:b.it's")).toEqual(['completed', 'duplicate'])
    expect(fixture.findings).toEqual([])
  })

  test('rows that a key does not guard are told at start', async () => {
    await fixture.process((tx) => {
      tx.exec('CREATE TABLE gaps (id TEXT PRIMARY KEY, ref TEXT UNIQUE, part INTEGER NOT NULL)')
      tx.exec('CREATE UNIQUE INDEX gaps_part ON gaps (part) WHERE part > 7')
      tx.exec('CREATE TABLE numbers (id INTEGER PRIMARY KEY)')
    })
    for (const key of ['gaps.id', 'gaps.ref', 'gaps.part', 'numbers.id']) await fixture.open(key)
    expect(fixture.findings).toEqual(['unique-key-gaps', 'unique-key-gaps'])
  })
})

describeService('postgres-18', (server) => {
  const fixture = fixtureOf<pg.PoolClient, Awaited<ReturnType<typeof postgresShop>>>(() =>
    postgresShop(server),
  )
  const { process, shopOf, twice } = fixture
  saysWhatItWants(fixture)

  test('a row of a partition violates the key of the whole table, also of one that came later', async () => {
    const { pool } = shopOf()
    await pool.query('CREATE TABLE days (id INT, day INT, PRIMARY KEY (id, day)) PARTITION BY LIST (day)')
    const dedup = await fixture.open('days_pkey')
    await pool.query('CREATE TABLE day_1 PARTITION OF days FOR VALUES IN (1)')
    const handle = async (tx: pg.PoolClient) => tx.query('INSERT INTO days VALUES (1, 1)')
    const statuses = [1, 2].map(async () => {
      const { status } = await dedup.process({ key: undefined }, async ({ tx }) => void (await handle(tx)))
      return status
    })
    expect((await Promise.all(statuses)).toSorted()).toEqual(['completed', 'duplicate'])
  })

  test('a key of its name in a schema that came later is the failure of the handler', async () => {
    const { pool } = shopOf()
    const dedup = await fixture.open('orders_pkey')
    await pool.query('CREATE SCHEMA later')
    await pool.query('CREATE TABLE later.orders (id INT PRIMARY KEY)')
    await pool.query('INSERT INTO later.orders VALUES (1)')
    const outcome = await dedup.process(
      { key: undefined },
      async ({ tx }) => void (await tx.query('INSERT INTO later.orders VALUES (1)')),
    )
    await pool.query('DROP SCHEMA later CASCADE')
    expect(outcome.status).toBe('failed')
  })

  test('a key whose violation is no duplicate-key error is refused at start', async () => {
    await shopOf().pool.query(
      'CREATE TABLE stays (room INT4RANGE, days INT4RANGE, PRIMARY KEY (room, days WITHOUT OVERLAPS))',
    )
    await expect(fixture.open('stays_pkey')).rejects.toEqual(unfit)
  })

  test('a deferred key is a duplicate at the commit', async () => {
    await shopOf().pool.query('CREATE TABLE late (id INT UNIQUE DEFERRABLE INITIALLY DEFERRED)')
    const insert = async (tx: pg.PoolClient) => tx.query('INSERT INTO late VALUES (1)')
    expect(await twice(insert, 'late_id_key')).toEqual(['completed', 'duplicate'])
    expect(fixture.findings).toEqual(['unique-key-gaps', 'unique-key-gaps'])
  })

  test('a violation that the handler keeps to itself has ended the transaction, as a duplicate', async () => {
    const notes = await shopOf().notes()
    const quiet = (id: string, ref: string) => async (tx: pg.PoolClient) => {
      await shopOf().note(tx, 'before')
      await shopOf()
        .order(tx, id, ref)
        .catch(() => undefined)
    }
    expect((await process(quiet('there', 'other'))).status).toBe('duplicate')
    expect((await process(quiet('other', 'there'))).status).toBe('failed')
    const goesOn = async (tx: pg.PoolClient) => {
      await quiet('there', 'other')(tx)
      await shopOf().note(tx, 'after')
    }
    expect((await process(goesOn)).status).toBe('duplicate')
    expect(await shopOf().notes()).toBe(notes)
    const recovers = async (tx: pg.PoolClient) => {
      await tx.query('SAVEPOINT here')
      await quiet('there', 'other')(tx)
      await tx.query('ROLLBACK TO here')
      await shopOf().note(tx, 'after')
      await tx.query('SELECT 1 / 0').catch(() => undefined)
      await shopOf().note(tx, 'in vain')
    }
    expect((await process(recovers)).status).toBe('failed')
  })
})

for (const name of ['mysql-8.0', 'mariadb-11.8'] as const) {
  describeService(name, (server) => {
    const fixture = fixtureOf<PoolConnection, Awaited<ReturnType<typeof mysqlShop>>>(() => mysqlShop(server))
    const { process, shopOf } = fixture
    saysWhatItWants(fixture)
    let other = ''
    let own = ''

    beforeAll(async () => {
      const { pool, url } = shopOf()
      own = new URL(url).pathname.slice(1)
      other = `${own}_other`
      await pool.query(`CREATE DATABASE ${other}`)
      await pool.query(`CREATE TABLE ${other}.orders (id INT PRIMARY KEY)`)
      await pool.query(`INSERT INTO ${other}.orders VALUES (1)`)
      await pool.query("INSERT INTO payments VALUES ('one'), ('two')")
    })
    afterAll(() => shopOf().pool.query(`DROP DATABASE ${other}`))

    test('a key of its name in another database is a failure, unless it is named', async () => {
      const insert = (tx: PoolConnection) => tx.query(`INSERT INTO \`${other}\`.orders VALUES (1)`)
      expect((await process(insert)).status).toBe('failed')
      expect((await process(insert, `${other}.orders.PRIMARY`)).status).toBe('duplicate')
      const qualified = (tx: PoolConnection) => tx.query(`INSERT INTO ${own}.orders VALUES ('there', 'x')`)
      expect((await process(qualified)).status).toBe('duplicate')
      expect((await process(qualified, `${other}.orders.PRIMARY`)).status).toBe('failed')
    })

    test('an update of several tables may violate the key of any', async () => {
      const update = "UPDATE orders o, payments p SET p.id = 'two' WHERE p.id = 'one'"
      expect((await process((tx) => tx.query(update))).status).toBe('failed')
      const alias = "UPDATE orders AS o SET id = 'there' WHERE id = 'moved'"
      await process((tx) => shopOf().order(tx, 'moved', 'moved'))
      expect((await process((tx) => tx.query(alias))).status).toBe('duplicate')
    })

    test('comments before a statement, and what its values look like, change nothing', async () => {
      const comments = "-- by the shop\n# too\n/* trace */ INSERT INTO orders VALUES ('there', ?)"
      for (const value of ["it's; INSERT INTO x", '\\', "'; --", "for key 'payments.PRIMARY'"]) {
        expect((await process((tx) => tx.query(comments, [value]))).status).toBe('duplicate')
      }
    })

    test('of several statements in one any may have failed', async () => {
      const connection = await mysql.createConnection({ uri: shopOf().url, multipleStatements: true })
      const sql = "INSERT INTO orders VALUES ('new', 'new;'); INSERT INTO payments VALUES ('one')"
      const error: unknown = await connection.query(sql).catch((thrown: unknown) => thrown)
      await connection.end()
      expect(error).toBeInstanceOf(Error)
      expect(ofMysql(error)).not.toContain('orders.PRIMARY')
    })

    test('a name that only the catalogue takes for the same is refused at start', async () => {
      await expect(fixture.open('orders.primary')).rejects.toEqual(unfit)
    })

    test('a key that takes texts for one that differ, or lets rows pass, is told at start', async () => {
      const { pool } = shopOf()
      await pool.query('CREATE TABLE exact (id VARCHAR(60) COLLATE utf8mb4_bin PRIMARY KEY, number INT)')
      await pool.query('CREATE UNIQUE INDEX number ON exact (number)')
      await fixture.open('exact.PRIMARY')
      expect(fixture.findings).toEqual([])
      await fixture.open('orders.PRIMARY')
      await fixture.open('exact.number')
      expect(fixture.findings).toEqual(['unique-key-loose', 'unique-key-gaps'])
    })
  })
}

describeService('mongodb-6', (server) => {
  const fixture = fixtureOf<ClientSession, Awaited<ReturnType<typeof mongoShop>>>(() => mongoShop(server))
  const { process, shopOf, twice } = fixture
  saysWhatItWants(fixture)

  test('a key of its name in another database is the failure of the handler', async () => {
    const other = shopOf().client.db(`${shopOf().name}_other`)
    const orders = other.collection<{ _id: string }>('orders')
    await orders.insertOne({ _id: 'there' })
    const insert = (session: ClientSession) => orders.insertOne({ _id: 'there' }, { session })
    expect((await process(insert)).status).toBe('failed')
    await other.dropDatabase()
  })

  test('a clustered collection, whose errors name no index, has its key too', async () => {
    const clusteredIndex = { key: { _id: 1 }, unique: true, name: 'by id' } as const
    const clustered = await shopOf().database.createCollection<{ _id: string }>('clustered', {
      clusteredIndex,
    })
    const insert = (session: ClientSession) => clustered.insertOne({ _id: 'a' }, { session })
    expect(await twice(insert, 'clustered.by id')).toEqual(['completed', 'duplicate'])
  })

  test('a key is known by its names, whatever is in them, and by its collation', async () => {
    const odd = shopOf().database.collection('odd index: a')
    const collation = { locale: 'en', strength: 2 }
    await odd.createIndex({ ref: 1 }, { unique: true, name: 'my dup key: é', collation, sparse: true })
    const insert = (session: ClientSession) => odd.insertOne({ ref: 'a' }, { session })
    const key = 'odd index: a.my dup key: é'
    expect(await twice(insert, key)).toEqual(['completed', 'duplicate'])
    expect(fixture.findings).toEqual(['unique-key-gaps', 'unique-key-gaps'])
  })

  test('an unordered bulk write that also failed by something else is no duplicate', async () => {
    const bulk = shopOf().database.collection<{ _id: string; ref?: string }>('bulk')
    await bulk.createIndex({ ref: 1 }, { unique: true, name: 'ref', sparse: true })
    await bulk.insertMany([{ _id: 'a' }, { _id: 'b', ref: 'b' }])
    const insert = (documents: { _id: string; ref?: string }[]): Promise<unknown> =>
      bulk.insertMany(documents, { ordered: false }).catch((error: unknown) => error)
    expect(ofMongo(await insert([{ _id: 'a' }, { _id: 'b' }]))).toContain('bulk._id_')
    expect(ofMongo(await insert([{ _id: 'a' }, { _id: 'c', ref: 'b' }]))).toEqual([])
  })
})
