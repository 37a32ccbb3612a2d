// What handlers do by each ORM, whichever SQL database it is on.
import { EntitySchema as MikroSchema } from '@mikro-orm/core'
import type { Knex } from 'knex'
import type { ControlledTransaction } from 'kysely'
import { sql } from 'kysely'
import type { Sequelize, Transaction } from 'sequelize'
import { DataTypes } from 'sequelize'
import type { DataSource, EntityManager } from 'typeorm'
import { EntitySchema } from 'typeorm'
import type { Effect } from './scene.ts'
import { touchSql } from './scene.ts'

/** All that has to be told of an ORM once it runs SQL. `hang` is a statement that takes too long. */
export function sqlActs<Tx>(hang: string, run: (tx: Tx, text: string) => Promise<unknown>) {
  return {
    touch: (tx: Tx, id: number) => run(tx, touchSql(id)),
    commit: (tx: Tx) => run(tx, 'COMMIT'),
    hang: (tx: Tx) => run(tx, hang),
  }
}

export type KyselyTx = ControlledTransaction<{ effects: Effect }>

export function kyselyActs(hang: string) {
  return {
    ...sqlActs<KyselyTx>(hang, (tx, text) => sql.raw(text).execute(tx)),
    write: (tx: KyselyTx, name: string, ref = name) =>
      tx.insertInto('effects').values({ name, ref }).execute(),
    commit: (tx: KyselyTx) => tx.commit().execute(),
    async nested(tx: KyselyTx, work: (tx: KyselyTx) => Promise<unknown>) {
      const inner = await tx.savepoint('nested').execute()
      try {
        await work(inner as never)
      } catch (error) {
        await inner.rollbackToSavepoint('nested').execute()
        throw error
      }
    },
  }
}

export function knexActs(hang: string) {
  return {
    ...sqlActs<Knex.Transaction>(hang, async (tx, text) => tx.raw(text)),
    write: async (tx: Knex.Transaction, name: string, ref = name) => tx('effects').insert({ name, ref }),
    commit: async (tx: Knex.Transaction) => tx.commit(),
    nested: (tx: Knex.Transaction, work: (tx: Knex.Transaction) => Promise<unknown>) => tx.transaction(work),
  }
}

export const typeormSchema = new EntitySchema<Effect>({
  name: 'Effect',
  tableName: 'effects',
  columns: { name: { type: String, primary: true }, ref: { type: String } },
})

export function typeormActs(hang: string, dataSource: DataSource) {
  return {
    ...sqlActs<EntityManager>(hang, (tx, text) => tx.query(text)),
    write: (tx: EntityManager, name: string, ref = name) => tx.insert(typeormSchema, { name, ref }),
    nested: (tx: EntityManager, work: (tx: EntityManager) => Promise<unknown>) => tx.transaction(work),
    afterCommit: (_: EntityManager, hook: () => Promise<void>) =>
      void dataSource.subscribers.push({ afterTransactionCommit: hook }),
  }
}

export function sequelizeActs(hang: string, sequelize: Sequelize) {
  const model = sequelize.define(
    'effect',
    { name: { type: DataTypes.STRING, primaryKey: true }, ref: DataTypes.STRING },
    { tableName: 'effects', timestamps: false },
  )
  return {
    ...sqlActs<Transaction>(hang, (transaction, text) => sequelize.query(text, { transaction })),
    write: (transaction: Transaction, name: string, ref = name) =>
      model.create({ name, ref }, { transaction }),
    nested: (transaction: Transaction, work: (tx: Transaction) => Promise<unknown>) =>
      sequelize.transaction({ transaction }, work),
    afterCommit: (tx: Transaction, hook: () => Promise<void>) => tx.afterCommit(hook),
  }
}

export const mikroSchema = new MikroSchema<Effect>({
  name: 'Effect',
  tableName: 'effects',
  properties: { name: { type: 'string', primary: true }, ref: { type: 'string' } },
})

/** What is used of an entity manager of MikroORM, whose class is the database's. */
interface MikroManager {
  execute(sql: string): Promise<unknown>
  insert(schema: typeof mikroSchema, effect: Effect): Promise<unknown>
  create(schema: typeof mikroSchema, effect: Effect): Effect
  persist(effect: Effect): unknown
  transactional<Answer>(work: (tx: unknown) => Promise<Answer>): Promise<Answer>
}

export function mikroActs<Tx extends MikroManager>(hang: string) {
  return {
    ...sqlActs<Tx>(hang, (tx, text) => tx.execute(text)),
    write: (tx: Tx, name: string, ref = name) => tx.insert(mikroSchema, { name, ref }),
    leave: (tx: Tx, name: string, ref = name) => void tx.persist(tx.create(mikroSchema, { name, ref })),
    nested: (tx: Tx, work: (tx: Tx) => Promise<unknown>) => tx.transactional((inner) => work(inner as Tx)),
  }
}
