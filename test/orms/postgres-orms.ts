import { MikroORM } from '@mikro-orm/postgresql'
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
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import type { Transaction } from 'sequelize'
import { Sequelize } from 'sequelize'
import type { EntityManager } from 'typeorm'
import { DataSource } from 'typeorm'
import type { Effect, Orms, Scene, SceneOptions } from './scene.ts'
import { prismaClient } from './prisma-client.ts'
import type { PrismaTx } from './prisma-client.ts'
import type { KyselyTx } from './sql-acts.ts'
import {
  knexActs,
  kyselyActs,
  mikroActs,
  mikroSchema,
  sequelizeActs,
  sqlActs,
  typeormActs,
  typeormSchema,
} from './sql-acts.ts'

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

export const postgresOrms = {
  async drizzle(url: string, table: string, options: SceneOptions = {}) {
    const { pool, ...common } = onPool(url)
    const effects = pgTable('effects', { name: varchar().primaryKey(), ref: varchar().notNull() })
    const db = drizzle(pool)
    const store = new PostgresStore({ pool, table, transactions: drizzleTransactions(db), ...options })
    type Tx = Parameters<Parameters<typeof db.transaction>[0]>[0]
    return {
      ...common,
      ...sqlActs<Tx>(HANG, (tx, text) => tx.execute(drizzleSql.raw(text))),
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
    return {
      ...common,
      ...kyselyActs(HANG),
      store,
      close: () => db.destroy(),
    } satisfies Scene<KyselyTx>
  },

  async knex(url: string, table: string, options: SceneOptions = {}) {
    const { pool, ...common } = onPool(url)
    const db = knex({ client: 'pg' })
    const store = new PostgresStore({ pool, table, transactions: knexTransactions(db), ...options })
    return {
      ...common,
      ...knexActs(HANG),
      store,
      close: () => pool.end(),
    } satisfies Scene<knex.Knex.Transaction>
  },

  async TypeORM(url: string, table: string, options: SceneOptions = {}) {
    const { pool, ...common } = onPool(url)
    const dataSource = new DataSource({ type: 'postgres', url, entities: [typeormSchema] })
    await dataSource.initialize()
    const store = new PostgresStore({
      pool,
      table,
      transactions: typeormTransactions(dataSource),
      ...options,
    })
    return {
      ...common,
      ...typeormActs(HANG, dataSource),
      store,
      async close() {
        await dataSource.destroy()
        await pool.end()
      },
    } satisfies Scene<EntityManager>
  },

  async Sequelize(url: string, table: string, options: SceneOptions = {}) {
    const { pool, ...common } = onPool(url)
    const sequelize = new Sequelize(url, { logging: false })
    const store = new PostgresStore({
      pool,
      table,
      transactions: sequelizeTransactions(sequelize),
      ...options,
    })
    return {
      ...common,
      ...sequelizeActs(HANG, sequelize),
      store,
      async close() {
        await sequelize.close()
        await pool.end()
      },
    } satisfies Scene<Transaction>
  },

  async MikroORM(url: string, table: string, options: SceneOptions = {}) {
    const orm = await MikroORM.init({
      clientUrl: url,
      entities: [mikroSchema],
      debug: false,
      pool: { max: 12 },
    })
    const { pool, ...common } = onPool(url, (await orm.em.getConnection().getNativeClient()) as pg.Pool)
    const store = new PostgresStore({ pool, table, transactions: mikroOrmTransactions(orm), ...options })
    type Tx = ReturnType<typeof orm.em.fork>
    return {
      ...common,
      ...mikroActs<Tx>(HANG),
      store,
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
      ...sqlActs<PrismaTx>(HANG, (tx, text) => tx.$executeRawUnsafe(text)),
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
