// docs/orms.md shows parts of this file.
// #region imports
import { createDeduplicator } from '@oncemq/core'
import { PostgresStore } from '@oncemq/postgres'
import { drizzleTransactions } from '@oncemq/postgres/orms'
// #endregion
import { EntitySchema as MikroSchema, MikroORM } from '@mikro-orm/postgresql'
import { MongoStore } from '@oncemq/mongodb'
import { mongooseTransactions } from '@oncemq/mongodb/orms'
import { MysqlStore } from '@oncemq/mysql'
import * as mysqlOrms from '@oncemq/mysql/orms'
import {
  knexTransactions,
  kyselyTransactions,
  lendingPool,
  mikroOrmTransactions,
  prismaTransactions,
  sequelizeTransactions,
  typeormTransactions,
} from '@oncemq/postgres/orms'
import type { OrmTransactions } from '@oncemq/postgres/orms'
import { describeService } from '@oncemq/test-services/vitest'
import { PrismaPg } from '@prisma/adapter-pg'
import { drizzle } from 'drizzle-orm/node-postgres'
import { pgTable, varchar } from 'drizzle-orm/pg-core'
import knex from 'knex'
import { Kysely, PostgresDialect } from 'kysely'
import mongoose from 'mongoose'
import { createPool } from 'mysql2'
import pg from 'pg'
import { DataTypes, Sequelize } from 'sequelize'
import { DataSource, EntitySchema } from 'typeorm'
import { beforeAll, expect, test } from 'vitest'
import { prismaClient } from './prisma-client.ts'
import type { Effect } from './scene.ts'
import { TABLES } from './scene.ts'

describeService('postgres-18', { own: true }, (server) => {
  const columns = { name: { type: String, primary: true }, ref: { type: String } } as const
  const poolOf = () => new pg.Pool({ connectionString: server.url, max: 12 })

  beforeAll(async () => {
    process.env['DATABASE_URL'] = server.url
    const pool = poolOf()
    for (const sql of TABLES) await pool.query(sql)
    await pool.end()
  })

  async function expectEffect(pool: pg.Pool, name: string): Promise<void> {
    expect((await pool.query('SELECT FROM effects WHERE name = $1', [name])).rowCount).toBe(1)
  }

  test('drizzle', async () => {
    const effects = pgTable('effects', { name: varchar().primaryKey(), ref: varchar().notNull() })
    // #region drizzle
    const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'], max: 12 })
    const db = drizzle(pool)
    const store = new PostgresStore({ pool, transactions: drizzleTransactions(db) })
    const dedup = createDeduplicator({ store, consumerGroup: 'billing', strategy: 'transactional' })

    await dedup.run('order-1', async ({ tx }) => {
      await tx.insert(effects).values({ name: 'order-1', ref: 'a' })
    })
    // #endregion
    await dedup.close()
    await expectEffect(pool, 'order-1')
    await pool.end()
  })

  test('kysely', async () => {
    const pool = poolOf()
    // #region kysely
    const db = new Kysely<{ effects: Effect }>({ dialect: new PostgresDialect({ pool }) })
    const store = new PostgresStore({ pool, transactions: kyselyTransactions(db) })
    const dedup = createDeduplicator({ store, consumerGroup: 'billing', strategy: 'transactional' })

    await dedup.run('order-2', async ({ tx }) => {
      await tx.insertInto('effects').values({ name: 'order-2', ref: 'b' }).execute()
      // Its transactions have no others inside: savepoints are asked for by name.
      const inner = await tx.savepoint('gift').execute()
      await inner.rollbackToSavepoint('gift').execute()
    })
    // #endregion
    await dedup.close()
    await expectEffect(pool, 'order-2')
    await pool.end()
  })

  test('knex', async () => {
    const pool = poolOf()
    // #region knex
    const db = knex({ client: 'pg' })
    const store = new PostgresStore({ pool, transactions: knexTransactions(db) })
    const dedup = createDeduplicator({ store, consumerGroup: 'billing', strategy: 'transactional' })

    await dedup.run('order-3', async ({ tx }) => {
      await tx('effects').insert({ name: 'order-3', ref: 'c' })
    })
    // #endregion
    await dedup.close()
    await expectEffect(pool, 'order-3')
    await pool.end()
  })

  test('TypeORM', async () => {
    const pool = poolOf()
    const EffectEntity = new EntitySchema<Effect>({ name: 'Effect', tableName: 'effects', columns })
    // #region typeorm
    const dataSource = new DataSource({
      type: 'postgres',
      url: process.env['DATABASE_URL'] ?? '',
      entities: [EffectEntity],
    })
    await dataSource.initialize()
    const store = new PostgresStore({ pool, transactions: typeormTransactions(dataSource) })
    const dedup = createDeduplicator({ store, consumerGroup: 'billing', strategy: 'transactional' })

    await dedup.run('order-4', async ({ tx }) => {
      await tx.getRepository(EffectEntity).insert({ name: 'order-4', ref: 'd' })
    })
    // #endregion
    await dedup.close()
    await expectEffect(pool, 'order-4')
    await dataSource.destroy()
    await pool.end()
  })

  test('Sequelize', async () => {
    const pool = poolOf()
    // #region sequelize
    const sequelize = new Sequelize(process.env['DATABASE_URL'] ?? '', { logging: false })
    const EffectModel = sequelize.define(
      'effect',
      { name: { type: DataTypes.STRING, primaryKey: true }, ref: DataTypes.STRING },
      { tableName: 'effects', timestamps: false },
    )
    const store = new PostgresStore({ pool, transactions: sequelizeTransactions(sequelize) })
    const dedup = createDeduplicator({ store, consumerGroup: 'billing', strategy: 'transactional' })

    await dedup.run('order-5', async ({ tx: transaction }) => {
      // To each call: without it, Sequelize writes by its own pool, and beside the transaction.
      await EffectModel.create({ name: 'order-5', ref: 'e' }, { transaction })
    })
    // #endregion
    await dedup.close()
    await expectEffect(pool, 'order-5')
    await sequelize.close()
    await pool.end()
  })

  test('MikroORM', async () => {
    const EffectSchema = new MikroSchema<Effect>({
      name: 'Effect',
      tableName: 'effects',
      properties: { name: { type: 'string', primary: true }, ref: { type: 'string' } },
    })
    // #region mikro-orm
    const orm = await MikroORM.init({
      clientUrl: process.env['DATABASE_URL'] ?? '',
      entities: [EffectSchema],
      pool: { max: 12 },
    })
    const pool = (await orm.em.getConnection().getNativeClient()) as pg.Pool
    const store = new PostgresStore({ pool, transactions: mikroOrmTransactions(orm) })
    const dedup = createDeduplicator({ store, consumerGroup: 'billing', strategy: 'transactional' })

    await dedup.run('order-6', async ({ tx: em }) => {
      // What is left to be flushed is flushed at the end of the handler.
      em.persist(em.create(EffectSchema, { name: 'order-6', ref: 'f' }))
    })
    // #endregion
    await dedup.close()
    await expectEffect(pool, 'order-6')
    await orm.close()
  })

  test('Prisma', async () => {
    const PrismaClient = function PrismaClient({ adapter }: { adapter: PrismaPg }) {
      return prismaClient(adapter)
    } as unknown as new (options: { adapter: PrismaPg }) => ReturnType<typeof prismaClient>
    // #region prisma
    const pool = lendingPool(new pg.Pool({ connectionString: process.env['DATABASE_URL'], max: 12 }))
    const prisma = new PrismaClient({ adapter: new PrismaPg(pool) })
    const store = new PostgresStore({ pool, transactions: prismaTransactions(prisma, pool) })
    const dedup = createDeduplicator({ store, consumerGroup: 'billing', strategy: 'transactional' })

    await dedup.run('order-7', async ({ tx }) => {
      await tx.effect.create({ data: { name: 'order-7', ref: 'g' } })
    })
    // #endregion
    await dedup.close()
    await expectEffect(pool, 'order-7')
    await prisma.$disconnect()
    await pool.end()
  })

  test('a team writes its own', async () => {
    const pool = poolOf()
    // #region own
    class Effects {
      readonly #client: pg.ClientBase

      constructor(client: pg.ClientBase) {
        this.#client = client
      }

      async add(name: string, ref: string): Promise<void> {
        await this.#client.query('INSERT INTO effects VALUES ($1, $2)', [name, ref])
      }
    }

    const transactions: OrmTransactions<pg.PoolClient, Effects> = {
      async within(connection, work) {
        // Sent in the transaction, before the handler.
        await connection.query("SET LOCAL statement_timeout = '5s'")
        return work(new Effects(connection))
      },
    }
    const store = new PostgresStore({ pool, transactions })
    const dedup = createDeduplicator({ store, consumerGroup: 'billing', strategy: 'transactional' })

    await dedup.run('order-8', async ({ tx: effects }) => {
      await effects.add('order-8', 'h')
    })
    // #endregion
    await dedup.close()
    await expectEffect(pool, 'order-8')
    await pool.end()
  })
})

describeService('mysql-8.0', { own: true }, (server) => {
  test('knex on MySQL', async () => {
    process.env['DATABASE_URL'] = server.url
    const setUp = createPool({ uri: server.url }).promise()
    for (const sql of TABLES) await setUp.query(sql)
    const { knexTransactions: mysqlKnexTransactions } = mysqlOrms
    // #region mysql
    const pool = createPool({ uri: process.env['DATABASE_URL'] ?? '', connectionLimit: 12 })
    const db = knex({ client: 'mysql2' })
    const store = new MysqlStore({ pool, transactions: mysqlKnexTransactions(db) })
    // #endregion
    const dedup = createDeduplicator({ store, consumerGroup: 'billing', strategy: 'transactional' })
    await dedup.run('order-9', async ({ tx }) => void (await tx('effects').insert({ name: 'i', ref: 'i' })))
    const [rows] = await setUp.query('SELECT name FROM effects')
    expect(rows).toEqual([{ name: 'i' }])
    await dedup.close()
    await pool.promise().end()
    await setUp.end()
  })
})

describeService('mongodb-6', { own: true }, (server) => {
  test('Mongoose', async () => {
    process.env['MONGODB_URL'] = server.url
    const schema = new mongoose.Schema({ _id: String, ref: String }, { collection: 'effects' })
    // #region mongoose
    await mongoose.connect(process.env['MONGODB_URL'] ?? '')
    const { connection } = mongoose
    const collection = connection.getClient().db().collection('oncemq')
    const store = new MongoStore({ collection, transactions: mongooseTransactions(connection) })
    const dedup = createDeduplicator({ store, consumerGroup: 'billing', strategy: 'transactional' })
    const EffectModel = mongoose.model('Effect', schema)

    await dedup.run('order-10', async ({ tx: session }) => {
      await EffectModel.create([{ _id: 'order-10', ref: 'j' }], { session })
    })
    // #endregion
    expect(await EffectModel.countDocuments()).toBe(1)
    await dedup.close()
    await mongoose.disconnect()
  })
})
