import type { OrmTransactions } from '../orm-transactions.ts'
import { requireOrm } from './require-orm.ts'

/** What is needed of a Sequelize instance. */
export interface SequelizeInstance<Tx> {
  transaction(options?: never): Promise<Tx>
}

type Hook = (this: unknown, transaction: unknown) => unknown

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
    async within(connection, work) {
      const connectionManager = {
        getConnection: async () => raw(connection),
        releaseConnection: () => undefined,
        destroyConnection: async () => undefined,
      }
      const runner = Object.create(sequelize, {
        connectionManager: { value: connectionManager },
      }) as Runner<Tx>
      const hooks: (() => unknown)[] = []
      const answer = await runner.transaction((tx) => {
        const add = (hook: Hook): void => void hooks.push(() => Reflect.apply(hook, tx, [tx]))
        // By itself it runs its hooks also when COMMIT fails.
        Object.defineProperty(tx, 'afterCommit', { value: add })
        return work(tx)
      })
      for (const hook of hooks) await hook()
      return answer
    },
  }
}
