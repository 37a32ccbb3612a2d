import { EntitySchema as MikroSchema, MikroORM } from '@mikro-orm/mysql'
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
import { Kysely, MysqlDialect, sql } from 'kysely'
import type { Pool } from 'mysql2'
import { createPool } from 'mysql2'
import type { RowDataPacket } from 'mysql2/promise'
import { DataTypes, Sequelize } from 'sequelize'
import { DataSource, EntitySchema } from 'typeorm'
import type { Effect, Orms, Scene, SceneOptions } from './scene.ts'
import { touchSql } from './scene.ts'

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

/** All that has to be told of an ORM once it runs SQL. */
function bySql<Tx>(run: (tx: Tx, text: string) => Promise<unknown>) {
  return {
    touch: (tx: Tx, id: number) => run(tx, touchSql(id)),
    commit: (tx: Tx) => run(tx, 'COMMIT'),
    hang: (tx: Tx) => run(tx, HANG),
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
      ...bySql<Tx>((tx, text) => tx.execute(drizzleSql.raw(text))),
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
      close: async () => pool.promise().end(),
    } satisfies Scene<Tx>
  },

  async knex(url: string, table: string, options: SceneOptions = {}) {
    const { pool, end, ...common } = onPool(url)
    const db = knex({ client: 'mysql2' })
    const store = new MysqlStore({ pool, table, transactions: knexTransactions(db), ...options })
    type Tx = knex.Knex.Transaction
    return {
      ...common,
      ...bySql<Tx>(async (tx, text) => tx.raw(text)),
      store,
      write: async (tx, name, ref = name) => tx('effects').insert({ name, ref }),
      commit: async (tx) => tx.commit(),
      nested: (tx, work) => tx.transaction(work),
      close: end,
    } satisfies Scene<Tx>
  },

  async TypeORM(url: string, table: string, options: SceneOptions = {}) {
    const { pool, end, ...common } = onPool(url)
    const schema = new EntitySchema<Effect>({
      name: 'Effect',
      tableName: 'effects',
      columns: { name: { type: String, primary: true }, ref: { type: String } },
    })
    const dataSource = new DataSource({ type: 'mysql', url, entities: [schema] })
    await dataSource.initialize()
    const store = new MysqlStore({ pool, table, transactions: typeormTransactions(dataSource), ...options })
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
        await end()
      },
    } satisfies Scene<Tx>
  },

  async Sequelize(url: string, table: string, options: SceneOptions = {}) {
    const { pool, end, ...common } = onPool(url)
    const sequelize = new Sequelize(url.replace('mariadb:', 'mysql:'), { logging: false, dialect: 'mysql' })
    const model = sequelize.define(
      'effect',
      { name: { type: DataTypes.STRING, primaryKey: true }, ref: DataTypes.STRING },
      { tableName: 'effects', timestamps: false },
    )
    const store = new MysqlStore({ pool, table, transactions: sequelizeTransactions(sequelize), ...options })
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
        await end()
      },
    } satisfies Scene<Tx>
  },

  async MikroORM(url: string, table: string, options: SceneOptions = {}) {
    const schema = new MikroSchema<Effect>({
      name: 'Effect',
      tableName: 'effects',
      properties: { name: { type: 'string', primary: true }, ref: { type: 'string' } },
    })
    const clientUrl = url.replace('mariadb:', 'mysql:')
    const orm = await MikroORM.init({ clientUrl, entities: [schema], debug: false, pool: { max: 12 } })
    const {
      pool,
      end: _end,
      ...common
    } = onPool(url, (await orm.em.getConnection().getNativeClient()) as Pool)
    const store = new MysqlStore({ pool, table, transactions: mikroOrmTransactions(orm), ...options })
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
} satisfies Orms
