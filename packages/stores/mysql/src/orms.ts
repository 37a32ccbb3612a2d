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
import type { MysqlConnection, MysqlHeader } from './client.ts'

export type { OrmTransactions } from '@oncemq/core/store'

/** Transactions of an ORM on a connection of `mysql2`. */
export type MysqlOrm<Tx> = OrmTransactions<MysqlConnection, Tx>

/**
 * `context.tx` is a transaction of drizzle. The database is one of `drizzle-orm/mysql2`.
 * @example new MysqlStore({ pool, transactions: drizzleTransactions(drizzle(pool)) })
 */
export function drizzleTransactions<Tx>(db: DrizzleDatabase<Tx>): MysqlOrm<Tx> {
  return onDrizzle(db)
}

/**
 * `context.tx` is a `ControlledTransaction` of Kysely, 0.28 or newer, with the plugins of the instance and
 * not its log. Its end is the store's; `savepoint` and `rollbackToSavepoint` are the handler's.
 * @example new MysqlStore({ pool, transactions: kyselyTransactions(db) })
 */
export function kyselyTransactions<Tx>(db: KyselyInstance<Tx>): MysqlOrm<Tx> {
  return onKysely(db, kyselyDriver)
}

/**
 * `context.tx` is a transaction of knex, with the client `mysql2`.
 * @example new MysqlStore({ pool, transactions: knexTransactions(knex({ client: 'mysql2' })) })
 */
export function knexTransactions<Tx>(knex: KnexInstance<Tx>): MysqlOrm<Tx> {
  return onKnex(knex, calledBack)
}

/**
 * `context.tx` is an entity manager of TypeORM in a transaction. Initialize the data source first.
 * @example new MysqlStore({ pool, transactions: typeormTransactions(dataSource) })
 */
export function typeormTransactions<Manager>(dataSource: TypeormDataSource<Manager>): MysqlOrm<Manager> {
  return onTypeorm(dataSource, calledBack)
}

/**
 * `context.tx` is a transaction of Sequelize 6: give it to each call as `{ transaction: tx }`.
 * @example new MysqlStore({ pool, transactions: sequelizeTransactions(sequelize) })
 */
export function sequelizeTransactions<Tx>(sequelize: SequelizeInstance<Tx>): MysqlOrm<Tx> {
  return onSequelize(sequelize, calledBack)
}

/**
 * `context.tx` is a fork of the entity manager of MikroORM 7, in a transaction. What the handler leaves to be
 * flushed is flushed when it has ended. `MikroORM.init()` comes first.
 * @example new MysqlStore({ pool, transactions: mikroOrmTransactions(orm) })
 */
export function mikroOrmTransactions<Manager>(orm: MikroOrmInstance<Manager>): MysqlOrm<Manager> {
  return onMikroOrm(orm, kyselyDriver)
}

const kyselyDriver: KyselyDriver<MysqlConnection> = {
  quote: '`',
  async query(connection, { sql, parameters }) {
    const { query } = connection as unknown as Writer
    const [answer] = await query(sql, [...parameters])
    if (Array.isArray(answer)) return { rows: answer }
    const { affectedRows, changedRows, insertId } = answer as MysqlHeader & { readonly changedRows?: number }
    return {
      rows: [],
      numAffectedRows: BigInt(affectedRows),
      numChangedRows: changedRows === undefined ? undefined : BigInt(changedRows),
      insertId: Number(insertId) === 0 ? undefined : BigInt(insertId),
    }
  },
}

/** The connection as the pool gives it to those who do not ask for the settings of the store. */
interface Writer {
  readonly query: (sql: string, values: unknown[]) => Promise<[unknown, unknown]>
}

/** The connection behind that of promises, whose methods take callbacks. */
function calledBack(connection: MysqlConnection): unknown {
  return (connection as { readonly connection?: unknown }).connection
}
