import type { OrmTransactions } from '../orm-transactions.ts'
import { requireOrm } from './require-orm.ts'

/** What is needed of a knex instance. */
export interface KnexInstance<Tx> {
  transaction(work: (tx: Tx) => Promise<unknown>, config: { connection: unknown }): PromiseLike<unknown>
}

/** Knex runs a transaction on a connection that it is given. `raw` is that as knex knows it. */
export function onKnex<Connection, Tx>(
  knex: KnexInstance<Tx>,
  raw: (connection: Connection) => unknown,
): OrmTransactions<Connection, Tx> {
  requireOrm('knexTransactions', 'a knex instance', knex, ['transaction'])
  return {
    within: async <Answer>(connection: Connection, work: (tx: Tx) => Promise<Answer>) =>
      (await knex.transaction(work, { connection: raw(connection) })) as Answer,
  }
}
