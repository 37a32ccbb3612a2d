import type { OrmTransactions } from '../orm-transactions.ts'
import { requireOrm } from './require-orm.ts'

/** What is needed of a Sequelize instance. */
export interface SequelizeInstance<Tx> {
  transaction(options?: never): Promise<Tx>
}

interface Runner<Tx> {
  transaction<Answer>(work: (tx: Tx) => Promise<Answer>): Promise<Answer>
}

/** An instance that inherits from the team's, and is given its one connection in place of a pool's. */
export function onSequelize<Connection, Tx>(
  sequelize: SequelizeInstance<Tx>,
  raw: (connection: Connection) => unknown,
): OrmTransactions<Connection, Tx> {
  requireOrm('sequelizeTransactions', 'a Sequelize instance', sequelize, ['transaction'])
  return {
    within(connection, work) {
      const connectionManager = {
        getConnection: async () => raw(connection),
        releaseConnection: () => undefined,
        destroyConnection: async () => undefined,
      }
      const runner = Object.create(sequelize, {
        connectionManager: { value: connectionManager },
      }) as Runner<Tx>
      return runner.transaction(work)
    },
  }
}
