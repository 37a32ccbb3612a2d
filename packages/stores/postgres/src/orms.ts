// The transactions of the ORMs that teams use, for the option `transactions`. No ORM is imported: each is
// typed by what is needed of it. The page is docs/orms.md.
import type {
  DrizzleDatabase,
  KnexInstance,
  KyselyDriver,
  KyselyInstance,
  MikroOrmInstance,
  OrmTransactions,
  SequelizeInstance,
  TypeormDataSource,
} from '@oncemq/core/store'
import { onDrizzle, onKnex, onKysely, onMikroOrm, onSequelize, onTypeorm } from '@oncemq/core/store'
import type { PostgresClient, PostgresResult } from './client.ts'

export type { OrmTransactions } from '@oncemq/core/store'
export type { PrismaClient } from './prisma.ts'
export { lendingPool, prismaTransactions } from './prisma.ts'

/** Transactions of an ORM on a connection of `pg`. */
export type PostgresOrm<Tx> = OrmTransactions<PostgresClient, Tx>

/**
 * `context.tx` is a transaction of drizzle. The database is one of `drizzle-orm/node-postgres`.
 * @example new PostgresStore({ pool, transactions: drizzleTransactions(drizzle(pool, { schema })) })
 */
export function drizzleTransactions<Tx>(db: DrizzleDatabase<Tx>): PostgresOrm<Tx> {
  return onDrizzle(db)
}

/**
 * `context.tx` is a `ControlledTransaction` of Kysely, 0.28 or newer, with the plugins of the instance and
 * not its log. Its end is the store's; `savepoint` and `rollbackToSavepoint` are the handler's.
 * @example new PostgresStore({ pool, transactions: kyselyTransactions(db) })
 */
export function kyselyTransactions<Tx>(db: KyselyInstance<Tx>): PostgresOrm<Tx> {
  return onKysely(db, kyselyDriver)
}

/**
 * `context.tx` is a transaction of knex.
 * @example new PostgresStore({ pool, transactions: knexTransactions(knex({ client: 'pg' })) })
 */
export function knexTransactions<Tx>(knex: KnexInstance<Tx>): PostgresOrm<Tx> {
  return onKnex(knex, itself)
}

/**
 * `context.tx` is an entity manager of TypeORM in a transaction. Initialize the data source first.
 * @example new PostgresStore({ pool, transactions: typeormTransactions(dataSource) })
 */
export function typeormTransactions<Manager>(dataSource: TypeormDataSource<Manager>): PostgresOrm<Manager> {
  return onTypeorm(dataSource, itself)
}

/**
 * `context.tx` is a transaction of Sequelize 6: give it to each call as `{ transaction: tx }`.
 * @example new PostgresStore({ pool, transactions: sequelizeTransactions(sequelize) })
 */
export function sequelizeTransactions<Tx>(sequelize: SequelizeInstance<Tx>): PostgresOrm<Tx> {
  return onSequelize(sequelize, itself)
}

/**
 * `context.tx` is a fork of the entity manager of MikroORM 7, in a transaction. What the handler leaves to be
 * flushed is flushed when it has ended. `MikroORM.init()` comes first.
 * @example new PostgresStore({ pool, transactions: mikroOrmTransactions(orm) })
 */
export function mikroOrmTransactions<Manager>(orm: MikroOrmInstance<Manager>): PostgresOrm<Manager> {
  return onMikroOrm(orm, kyselyDriver)
}

const kyselyDriver: KyselyDriver<PostgresClient> = {
  quote: '"',
  async query(client, { sql, parameters }) {
    const { command, rowCount, rows } = (await client.query({
      text: sql,
      values: [...parameters],
    })) as PostgresResult
    const isWrite = WRITES.has(command)
    return { rows: [...rows], numAffectedRows: isWrite ? BigInt(rowCount ?? 0) : undefined }
  },
}

const WRITES = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE'])

function itself(client: PostgresClient): PostgresClient {
  return client
}
