import { MikroORM } from '@mikro-orm/mysql'
import { MysqlStore } from '@oncemq/mysql'
import {
  drizzleTransactions,
  knexTransactions,
  kyselyTransactions,
  mikroOrmTransactions,
  sequelizeTransactions,
  typeormTransactions,
} from '@oncemq/mysql/orms'
import { sql as drizzleSql } from 'drizzle-orm'
import { mysqlTable, varchar } from 'drizzle-orm/mysql-core'
import { drizzle } from 'drizzle-orm/mysql2'
import knex from 'knex'
import { Kysely, MysqlDialect } from 'kysely'
import type { Pool } from 'mysql2'
import { createPool } from 'mysql2'
import type { RowDataPacket } from 'mysql2/promise'
import type { Transaction } from 'sequelize'
import { Sequelize } from 'sequelize'
import type { EntityManager } from 'typeorm'
import { DataSource } from 'typeorm'
import type { Effect, Orms, Scene, SceneOptions } from './scene.ts'
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

const HANG = 'SELECT SLEEP(60)'

/** A pool, and what all scenes on it have in common. */
function onPool(url: string, pool: Pool = createPool({ uri: url, connectionLimit: 12 })) {
  return {
    pool,
    key: 'effects.PRIMARY',
    async effects() {
      const [rows] = await pool.promise().query<RowDataPacket[]>('SELECT name FROM effects ORDER BY name')
      return (rows as unknown as readonly Effect[]).map(({ name }) => name)
    },
    end: () => pool.promise().end(),
  }
}

export const mysqlOrms = {
  async drizzle(url: string, table: string, options: SceneOptions = {}) {
    const { pool, end, ...common } = onPool(url)
    const effects = mysqlTable('effects', {
      name: varchar({ length: 60 }).primaryKey(),
      ref: varchar({ length: 60 }).notNull(),
    })
    const db = drizzle(pool)
    const store = new MysqlStore({ pool, table, transactions: drizzleTransactions(db), ...options })
    type Tx = Parameters<Parameters<typeof db.transaction>[0]>[0]
    return {
      ...common,
      ...sqlActs<Tx>(HANG, (tx, text) => tx.execute(drizzleSql.raw(text))),
      store,
      write: async (tx, name, ref = name) => tx.insert(effects).values({ name, ref }),
      nested: (tx, work) => tx.transaction(work),
      close: end,
    } satisfies Scene<Tx>
  },

  async kysely(url: string, table: string, options: SceneOptions = {}) {
    const { pool, end: _end, ...common } = onPool(url)
    const db = new Kysely<{ effects: Effect }>({ dialect: new MysqlDialect({ pool }) })
    const store = new MysqlStore({ pool, table, transactions: kyselyTransactions(db), ...options })
    return {
      ...common,
      ...kyselyActs(HANG),
      store,
      close: async () => pool.promise().end(),
    } satisfies Scene<KyselyTx>
  },

  async knex(url: string, table: string, options: SceneOptions = {}) {
    const { pool, end, ...common } = onPool(url)
    const db = knex({ client: 'mysql2' })
    const store = new MysqlStore({ pool, table, transactions: knexTransactions(db), ...options })
    return {
      ...common,
      ...knexActs(HANG),
      store,
      close: end,
    } satisfies Scene<knex.Knex.Transaction>
  },

  async TypeORM(url: string, table: string, options: SceneOptions = {}) {
    const { pool, end, ...common } = onPool(url)
    const dataSource = new DataSource({ type: 'mysql', url, entities: [typeormSchema] })
    await dataSource.initialize()
    const store = new MysqlStore({ pool, table, transactions: typeormTransactions(dataSource), ...options })
    return {
      ...common,
      ...typeormActs(HANG, dataSource),
      store,
      async close() {
        await dataSource.destroy()
        await end()
      },
    } satisfies Scene<EntityManager>
  },

  async Sequelize(url: string, table: string, options: SceneOptions = {}) {
    const { pool, end, ...common } = onPool(url)
    const sequelize = new Sequelize(url.replace('mariadb:', 'mysql:'), { logging: false, dialect: 'mysql' })
    const store = new MysqlStore({ pool, table, transactions: sequelizeTransactions(sequelize), ...options })
    return {
      ...common,
      ...sequelizeActs(HANG, sequelize),
      store,
      async close() {
        await sequelize.close()
        await end()
      },
    } satisfies Scene<Transaction>
  },

  async MikroORM(url: string, table: string, options: SceneOptions = {}) {
    const clientUrl = url.replace('mariadb:', 'mysql:')
    const orm = await MikroORM.init({ clientUrl, entities: [mikroSchema], debug: false, pool: { max: 12 } })
    const {
      pool,
      end: _end,
      ...common
    } = onPool(url, (await orm.em.getConnection().getNativeClient()) as Pool)
    const store = new MysqlStore({ pool, table, transactions: mikroOrmTransactions(orm), ...options })
    type Tx = ReturnType<typeof orm.em.fork>
    return {
      ...common,
      ...mikroActs<Tx>(HANG),
      store,
      close: () => orm.close(),
    } satisfies Scene<Tx>
  },
} satisfies Orms
