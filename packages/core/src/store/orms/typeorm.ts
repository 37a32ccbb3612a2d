import type { OrmTransactions } from '../orm-transactions.ts'
import { requireOrm } from './require-orm.ts'

/** What is needed of a data source of TypeORM. */
export interface TypeormDataSource<Manager> {
  createQueryRunner(): { readonly manager: Manager; release(): Promise<void> }
}

interface EntityManager<Manager> {
  transaction<Answer>(work: (manager: Manager) => Promise<Answer>): Promise<Answer>
}

/** A query runner takes a connection from the pool when it has none. `raw` is that of its driver. */
export function onTypeorm<Connection, Manager>(
  dataSource: TypeormDataSource<Manager>,
  raw: (connection: Connection) => unknown,
): OrmTransactions<Connection, Manager> {
  requireOrm('typeormTransactions', 'a DataSource of TypeORM', dataSource, ['createQueryRunner'])
  return {
    async within(connection, work) {
      const runner = dataSource.createQueryRunner()
      Object.assign(runner, { databaseConnection: raw(connection) })
      try {
        return await (runner.manager as EntityManager<Manager>).transaction(work)
      } finally {
        await runner.release()
      }
    },
  }
}
