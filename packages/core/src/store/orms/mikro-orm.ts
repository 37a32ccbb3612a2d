import { types } from 'node:util'
import type { OrmTransactions } from '../orm-transactions.ts'
import type { KyselyDriver, KyselyInstance } from './kysely.ts'
import { begin, ended } from './kysely.ts'
import { requireOrm } from './require-orm.ts'

/** What is needed of MikroORM, from version 7, which writes by Kysely. */
export interface MikroOrmInstance<Manager> {
  readonly em: { fork(): Manager }
}

interface Fork {
  setTransactionContext(transaction: unknown): void
  getConnection(): { getClient(): KyselyInstance<unknown> }
  flush(): Promise<void>
}

/** The handler gets a fork of its own, and what it leaves to be flushed is flushed before the commit. */
export function onMikroOrm<Connection, Manager>(
  orm: MikroOrmInstance<Manager>,
  driver: KyselyDriver<Connection>,
): OrmTransactions<Connection, Manager> {
  const em: unknown = (orm as Partial<MikroOrmInstance<Manager>> | null)?.em
  const expected = 'MikroORM of 7 or newer, with an SQL driver'
  requireOrm('mikroOrmTransactions', expected, em, ['fork', 'getConnection'])
  return {
    async within(connection, work) {
      const manager = orm.em.fork()
      const fork = manager as unknown as Fork
      const transaction = await begin(fork.getConnection().getClient(), keepingErrors(driver), connection)
      fork.setTransactionContext(transaction)
      return ended(transaction, async () => {
        const answer = await work(manager)
        await fork.flush()
        return answer
      })
    },
  }
}

/** MikroORM copies what a driver's error has, and forgets the error, by which the store knows it. */
function keepingErrors<Connection>(driver: KyselyDriver<Connection>): KyselyDriver<Connection> {
  return {
    ...driver,
    query: (connection, query) =>
      driver.query(connection, query).catch((error: unknown) => {
        throw withItself(error)
      }),
  }
}

function withItself(error: unknown): unknown {
  if (!types.isNativeError(error)) return error
  const properties = { ...Object.getOwnPropertyDescriptors(error), cause: { value: error } }
  return Object.defineProperties(new Error(error.message), properties)
}
