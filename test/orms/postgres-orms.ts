import { EntitySchema as MikroSchema, MikroORM } from '@mikro-orm/postgresql'
import { PostgresStore } from '@oncemq/postgres'
import {
  drizzleTransactions,
  lendingPool,
  knexTransactions,
  kyselyTransactions,
  mikroOrmTransactions,
  prismaTransactions,
  sequelizeTransactions,
  typeormTransactions,
} from '@oncemq/postgres/orms'
import { PrismaPg } from '@prisma/adapter-pg'
import { sql as drizzleSql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { pgTable, varchar } from 'drizzle-orm/pg-core'
import knex from 'knex'
import { Kysely, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import { DataTypes, Sequelize } from 'sequelize'
import { DataSource, EntitySchema } from 'typeorm'
import type { Effect, Orms, Scene, SceneOptions } from './scene.ts'
import { prismaClient } from './prisma-client.ts'
import type { PrismaTx } from './prisma-client.ts'
import { touchSql } from './scene.ts'

const HANG = 'SELECT pg_sleep(60)'

/** A pool, and what all scenes on it have in common. */
function onPool(url: string, pool = new pg.Pool({ connectionString: url, max: 12 })) {
  pool.on('error', () => undefined)
  return {
    pool,
    key: 'effects_pkey',
    async effects() {
      const { rows } = await pool.query<Effect>('SELECT name FROM effects ORDER BY name')
      return rows.map(({ name }) => name)
    },
  }
}

/** All that has to be told of an ORM once it runs SQL. */
function bySql<Tx>(run: (tx: Tx, text: string) => Promise<unknown>) {
  return {
    touch: (tx: Tx, id: number) => run(tx, touchSql(id)),
    commit: (tx: Tx) => run(tx, 'COMMIT'),
    hang: (tx: Tx) => run(tx, HANG),
  }
}

export const postgresOrms = {
  async drizzle(url: string, table: string, options: SceneOptions = {}) {
    const { pool, ...common } = onPool(url)
    const effects = pgTable('effects', { name: varchar().primaryKey(), ref: varchar().notNull() })
    const db = drizzle(pool)
    const store = new PostgresStore({ pool, table, transactions: drizzleTransactions(db), ...options })
    type Tx = Parameters<Parameters<typeof db.transaction>[0]>[0]
    return {
      ...common,
      ...bySql<Tx>((tx, text) => tx.execute(drizzleSql.raw(text))),
      store,
      write: async (tx, name, ref = name) => tx.insert(effects).values({ name, ref }),
      nested: (tx, work) => tx.transaction(work),
      close: () => pool.end(),
    } satisfies Scene<Tx>
  },

  async kysely(url: string, table: string, options: SceneOptions = {}) {
    const { pool, ...common } = onPool(url)
    const db = new Kysely<{ effects: Effect }>({ dialect: new PostgresDialect({ pool }) })
    const store = new PostgresStore({ pool, table, transactions: kyselyTransactions(db), ...options })
    type Tx = Parameters<Parameters<typeof store.transaction>[0]>[0]
    return {
      ...common,
      ...bySql<Tx>((tx, text) => sql.raw(text).execute(tx)),
      store,
      write: (tx, name, ref = name) => tx.insertInto('effects').values({ name, ref }).execute(),
      commit: (tx) => tx.commit().execute(),
      async nested(tx, work) {
        const inner = await tx.savepoint('nested').execute()
        try {
          await work(inner as never)
        } catch (error) {
          await inner.rollbackToSavepoint('nested').execute()
          throw error
        }
      },
      close: () => db.destroy(),
    } satisfies Scene<Tx>
  },

  async knex(url: string, table: string, options: SceneOptions = {}) {
    const { pool, ...common } = onPool(url)
    const db = knex({ client: 'pg' })
    const store = new PostgresStore({ pool, table, transactions: knexTransactions(db), ...options })
    type Tx = knex.Knex.Transaction
    return {
      ...common,
      ...bySql<Tx>(async (tx, text) => tx.raw(text)),
      store,
      write: async (tx, name, ref = name) => tx('effects').insert({ name, ref }),
      commit: async (tx) => tx.commit(),
      nested: (tx, work) => tx.transaction(work),
      close: () => pool.end(),
    } satisfies Scene<Tx>
  },

  async TypeORM(url: string, table: string, options: SceneOptions = {}) {
    const { pool, ...common } = onPool(url)
    const schema = new EntitySchema<Effect>({
      name: 'Effect',
      tableName: 'effects',
      columns: { name: { type: String, primary: true }, ref: { type: String } },
    })
    const dataSource = new DataSource({ type: 'postgres', url, entities: [schema] })
    await dataSource.initialize()
    const store = new PostgresStore({
      pool,
      table,
      transactions: typeormTransactions(dataSource),
      ...options,
    })
    type Tx = typeof dataSource.manager
    return {
      ...common,
      ...bySql<Tx>((tx, text) => tx.query(text)),
      store,
      write: (tx, name, ref = name) => tx.insert(schema, { name, ref }),
      nested: (tx, work) => tx.transaction(work),
      afterCommit: (_, hook) => void dataSource.subscribers.push({ afterTransactionCommit: hook }),
      async close() {
        await dataSource.destroy()
        await pool.end()
      },
    } satisfies Scene<Tx>
  },

  async Sequelize(url: string, table: string, options: SceneOptions = {}) {
    const { pool, ...common } = onPool(url)
    const sequelize = new Sequelize(url, { logging: false })
    const model = sequelize.define(
      'effect',
      { name: { type: DataTypes.STRING, primaryKey: true }, ref: DataTypes.STRING },
      { tableName: 'effects', timestamps: false },
    )
    const store = new PostgresStore({
      pool,
      table,
      transactions: sequelizeTransactions(sequelize),
      ...options,
    })
    type Tx = Awaited<ReturnType<typeof sequelize.transaction>>
    return {
      ...common,
      ...bySql<Tx>((transaction, text) => sequelize.query(text, { transaction })),
      store,
      write: (transaction, name, ref = name) => model.create({ name, ref }, { transaction }),
      nested: (transaction, work) => sequelize.transaction({ transaction }, work),
      afterCommit: (tx, hook) => tx.afterCommit(hook),
      async close() {
        await sequelize.close()
        await pool.end()
      },
    } satisfies Scene<Tx>
  },

  async MikroORM(url: string, table: string, options: SceneOptions = {}) {
    const schema = new MikroSchema<Effect>({
      name: 'Effect',
      tableName: 'effects',
      properties: { name: { type: 'string', primary: true }, ref: { type: 'string' } },
    })
    const orm = await MikroORM.init({ clientUrl: url, entities: [schema], debug: false, pool: { max: 12 } })
    const { pool, ...common } = onPool(url, (await orm.em.getConnection().getNativeClient()) as pg.Pool)
    const store = new PostgresStore({ pool, table, transactions: mikroOrmTransactions(orm), ...options })
    type Tx = ReturnType<typeof orm.em.fork>
    return {
      ...common,
      ...bySql<Tx>((tx, text) => tx.execute(text)),
      store,
      write: (tx, name, ref = name) => tx.insert(schema, { name, ref }),
      leave: (tx, name, ref = name) => void tx.persist(tx.create(schema, { name, ref })),
      nested: (tx, work) => tx.transactional((inner) => work(inner as Tx)),
      close: () => orm.close(),
    } satisfies Scene<Tx>
  },

  async Prisma(url: string, table: string, options: SceneOptions = {}) {
    const { pool, ...common } = onPool(url, lendingPool(new pg.Pool({ connectionString: url, max: 12 })))
    const prisma = prismaClient(new PrismaPg(pool))
    const transactions = prismaTransactions(prisma, pool)
    const store = new PostgresStore({ pool, table, transactions, ...options })
    return {
      ...common,
      ...bySql<PrismaTx>((tx, text) => tx.$executeRawUnsafe(text)),
      store,
      write: (tx, name, ref = name) => tx.effect.create({ data: { name, ref } }),
      nested: (tx, work) => tx.$transaction(work),
      async close() {
        await prisma.$disconnect()
        await pool.end()
      },
    } satisfies Scene<PrismaTx>
  },
} satisfies Orms
