import { EntitySchema as MikroSchema, MikroORM } from '@mikro-orm/postgresql'
import type { Deduplicator, DuplicateKeyOf, HandlerContext } from '@oncemq/core'
import { createDeduplicator, MemoryStore, naturalKey } from '@oncemq/core'
import type { KeyedStore } from '@oncemq/core/store'
import { duplicateKeyOf as ofMongo, MongoStore } from '@oncemq/mongodb'
import { duplicateKeyOf as ofMysql } from '@oncemq/mysql'
import { duplicateKeyOf as ofPostgres } from '@oncemq/postgres'
import { describeService } from '@oncemq/test-services/vitest'
import { mysqlTable, varchar as mysqlText } from 'drizzle-orm/mysql-core'
import { drizzle as drizzleMysql } from 'drizzle-orm/mysql2'
import { drizzle as drizzlePostgres } from 'drizzle-orm/node-postgres'
import { pgTable, varchar } from 'drizzle-orm/pg-core'
import knex from 'knex'
import type { PostgresPoolClient } from 'kysely'
import { Kysely, MysqlDialect, PostgresDialect } from 'kysely'
import mongoose from 'mongoose'
import type { ClientSession } from 'mongodb'
import mysql from 'mysql2'
import type { PoolConnection } from 'mysql2/promise'
import type pg from 'pg'
import { DataTypes, Sequelize } from 'sequelize'
import { DataSource, EntitySchema } from 'typeorm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { mongoShop, mysqlShop, postgresShop } from './shop.ts'

interface Order {
  readonly id: string
  readonly ref: string
}

/** Inserts an order as a team would with its library. */
type Insert<Tx> = (order: Order, tx: Tx) => Promise<unknown>

interface Database {
  readonly keys: { readonly id: string; readonly ref: string }
  orders(): Promise<number>
}

/** What is to be ended, last first, before the server of this suite is. */
function endings(): (() => Promise<unknown>)[] {
  const later: (() => Promise<unknown>)[] = []
  afterAll(async () => {
    for (const end of later.toReversed()) await end()
  })
  return later
}

let count = 0

/** A second insert of one id is a duplicate; another unique key that is violated is a failure. */
async function expectGuarded<Tx>(
  database: Database,
  dedup: Deduplicator<Tx>,
  insert: Insert<Tx>,
): Promise<void> {
  const before = await database.orders()
  const handle = (order: Order) =>
    dedup.process({ key: order.id }, async ({ tx }: HandlerContext<Tx>) => {
      await insert(order, tx)
    })
  const mark = `${(count += 1)}`
  const first = { id: `id-${mark}`, ref: `ref-${mark}` }
  expect(await handle(first)).toMatchObject({ status: 'completed' })
  expect(await handle({ ...first, ref: `other-${mark}` })).toEqual({ status: 'duplicate', result: undefined })
  expect(await handle({ ...first, id: `other-${mark}` })).toMatchObject({ status: 'failed' })
  expect(await database.orders()).toBe(before + 1)
  await dedup.close()
}

/** With `context.tx`, in the transaction of the store. */
function expectInTx<Tx>(
  shop: Database & { readonly store: KeyedStore<Tx> },
  insert: Insert<Tx>,
): Promise<void> {
  const strategy = naturalKey({ constraint: shop.keys.id })
  return expectGuarded(
    shop,
    createDeduplicator({ store: shop.store, consumerGroup: 'orders', strategy }),
    insert,
  )
}

/** With a client of the handler's own, beside any store. */
function expectWithOwnClient(
  shop: Database,
  duplicateKeyOf: DuplicateKeyOf,
  insert: (order: Order) => Promise<unknown>,
  constraint = shop.keys.id,
): Promise<void> {
  const strategy = naturalKey({ constraint, duplicateKeyOf })
  const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'orders', strategy })
  return expectGuarded<undefined>(shop, dedup, insert)
}

interface Tables {
  orders: Order
}

describeService('postgres-18', (server) => {
  const later = endings()
  let shop: Awaited<ReturnType<typeof postgresShop>>
  const orders = pgTable('orders', { id: varchar().primaryKey(), ref: varchar() })

  beforeAll(async () => {
    shop = await postgresShop(server)
    later.push(() => shop.close())
  })

  test('drizzle', async () => {
    await expectInTx(shop, (order, tx: pg.PoolClient) => drizzlePostgres(tx).insert(orders).values(order))
    const own = drizzlePostgres(shop.pool)
    const insert = (order: Order) =>
      own.transaction(async (tx) => void (await tx.insert(orders).values(order)))
    await expectWithOwnClient(shop, ofPostgres, insert)
  })

  test('kysely', async () => {
    await expectInTx(shop, (order, tx: pg.PoolClient) => {
      // A pool of one: kysely takes its connections from a pool, and gives them back.
      const query = tx.query.bind(tx) as PostgresPoolClient['query']
      const connection: PostgresPoolClient = { query, release: () => undefined }
      const pool = { connect: async () => connection, end: async () => undefined, options: {} }
      const dialect = new PostgresDialect({ pool })
      return new Kysely<Tables>({ dialect }).insertInto('orders').values(order).execute()
    })
    const own = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: shop.pool }) })
    await expectWithOwnClient(shop, ofPostgres, (order) =>
      own.transaction().execute((tx) => tx.insertInto('orders').values(order).execute()),
    )
  })

  test('knex', async () => {
    const own = knex({ client: 'pg', connection: shop.url })
    later.push(() => own.destroy())
    await expectInTx(shop, (order, tx: pg.PoolClient) => own('orders').insert(order).connection(tx))
    await expectWithOwnClient(shop, ofPostgres, (order) =>
      own.transaction((tx) => tx('orders').insert(order)),
    )
  })

  test('Sequelize', async () => {
    const own = new Sequelize(shop.url, { logging: false })
    later.push(() => own.close())
    const model = own.define(
      'order',
      { id: { type: DataTypes.STRING, primaryKey: true }, ref: DataTypes.STRING },
      { tableName: 'orders', timestamps: false },
    )
    await expectWithOwnClient(shop, ofPostgres, (order) => model.create({ ...order }))
  })

  test('TypeORM', async () => {
    const schema = new EntitySchema<Order>({
      name: 'Order',
      tableName: 'orders',
      columns: { id: { type: String, primary: true }, ref: { type: String } },
    })
    const own = new DataSource({ type: 'postgres', url: shop.url, entities: [schema] })
    await own.initialize()
    later.push(() => own.destroy())
    await expectWithOwnClient(shop, ofPostgres, (order) => own.getRepository(schema).insert({ ...order }))
  })

  test('MikroORM', async () => {
    const schema = new MikroSchema<Order>({
      name: 'Order',
      tableName: 'orders',
      properties: { id: { type: 'string', primary: true }, ref: { type: 'string' } },
    })
    const own = await MikroORM.init({ clientUrl: shop.url, entities: [schema], debug: false })
    later.push(() => own.close())
    await expectWithOwnClient(shop, ofPostgres, (order) => own.em.fork().insert(schema, order))
  })
})

for (const name of ['mysql-8.0', 'mariadb-11.8'] as const) {
  describeService(name, (server) => {
    const later = endings()
    let shop: Awaited<ReturnType<typeof mysqlShop>>
    const orders = mysqlTable('orders', {
      id: mysqlText({ length: 60 }).primaryKey(),
      ref: mysqlText({ length: 60 }),
    })

    beforeAll(async () => {
      shop = await mysqlShop(server)
      later.push(() => shop.close())
    })

    test('drizzle', async () => {
      await expectInTx(shop, (order, tx: PoolConnection) => drizzleMysql(tx).insert(orders).values(order))
      const own = drizzleMysql(shop.pool)
      await expectWithOwnClient(shop, ofMysql, (order) => own.insert(orders).values(order))
    })

    test('kysely', async () => {
      const pool = mysql.createPool({ uri: shop.url })
      later.push(async () => pool.end())
      const own = new Kysely<Tables>({ dialect: new MysqlDialect({ pool }) })
      await expectWithOwnClient(shop, ofMysql, (order) =>
        own.transaction().execute((tx) => tx.insertInto('orders').values(order).execute()),
      )
    })

    test('knex', async () => {
      const own = knex({ client: 'mysql2', connection: shop.url })
      later.push(() => own.destroy())
      await expectInTx(shop, (order, tx: PoolConnection) =>
        own('orders').insert(order).connection(tx.connection),
      )
      await expectWithOwnClient(shop, ofMysql, (order) => own.transaction((tx) => tx('orders').insert(order)))
    })

    test('Sequelize', async () => {
      const own = new Sequelize(shop.url.replace('mariadb:', 'mysql:'), { logging: false, dialect: 'mysql' })
      later.push(() => own.close())
      const model = own.define(
        'order',
        { id: { type: DataTypes.STRING, primaryKey: true }, ref: DataTypes.STRING },
        { tableName: 'orders', timestamps: false },
      )
      await expectWithOwnClient(shop, ofMysql, (order) => model.create({ ...order }))
    })
  })
}

describeService('mongodb-6', (server) => {
  const later = endings()
  test('Mongoose', async () => {
    const shop = await mongoShop(server)
    later.push(() => shop.close())
    const own = await mongoose.createConnection(shop.url, { dbName: shop.name }).asPromise()
    later.push(() => own.close())
    const schema = new mongoose.Schema(
      { _id: String, ref: { type: String } },
      { collection: 'orders', versionKey: false },
    )
    const model = own.model('Order', schema)
    const create = ({ id, ref }: Order, session?: ClientSession) =>
      model.create([{ _id: id, ref }], session === undefined ? {} : { session: session as never })
    const collection = own.db?.collection('oncemq')
    if (collection === undefined) throw new Error('expected a connection')
    const store = new MongoStore({ collection: collection as never }) as unknown as KeyedStore<ClientSession>
    await expectInTx({ ...shop, store }, create)
    await expectWithOwnClient(shop, ofMongo, (order) => create(order))
  })
})

describe('Prisma', () => {
  class PrismaError extends Error {
    readonly code = 'P2002'
    readonly clientVersion = '7.0.0'
    readonly meta: object

    constructor(meta: object) {
      super('Unique constraint failed')
      this.meta = meta
    }
  }

  // What its engine and its driver adapters make of one and the same violation.
  const shapes: readonly [string, object][] = [
    ['Order.id', { modelName: 'Order', target: ['id'] }],
    ['Order.shop, Order.number', { modelName: 'Order', target: ['shop', 'number'] }],
    ['orders_pkey', { modelName: 'Order', target: 'orders_pkey' }],
    ['Order.id', { modelName: 'Order', driverAdapterError: { cause: { constraint: { fields: ['"id"'] } } } }],
    [
      'orders_pkey',
      { modelName: 'Order', driverAdapterError: { cause: { constraint: { index: 'orders_pkey' } } } },
    ],
  ]

  test.each(shapes)('is known by its shape: %s', async (constraint, meta) => {
    const statuses: string[] = []
    for (const named of [constraint, 'Order.ref']) {
      const strategy = naturalKey({ constraint: named, duplicateKeyOf: ofPostgres })
      const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'orders', strategy })
      const { status } = await dedup.process({ key: 'a' }, () => Promise.reject(new PrismaError(meta)))
      statuses.push(status)
      await dedup.close()
    }
    expect(statuses).toEqual(['duplicate', 'failed'])
  })
})
