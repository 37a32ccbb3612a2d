import { types } from 'node:util'
import { StoreError } from '../../errors.ts'
import type { OrmTransactions } from '../orm-transactions.ts'
import type { KyselyDriver, KyselyInstance } from './kysely.ts'
import { begin, ended } from './kysely.ts'
import { requireOrm } from './require-orm.ts'

/** What is needed of MikroORM, from version 7, which writes by Kysely. */
export interface MikroOrmInstance<Manager> {
  readonly em: { fork(): Manager }
}

interface Fork {
  fork(...options: unknown[]): Fork
  begin(...options: unknown[]): Promise<void>
  commit(): Promise<void>
  rollback(): Promise<void>
  isInTransaction(): boolean
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
      keepInTransaction(fork)
      return ended(transaction, async () => {
        const answer = await work(manager)
        await fork.flush()
        return answer
      })
    },
  }
}

/**
 * Refuses what would begin a transaction beside the store's, on a connection of its own, or would end the
 * store's, after which all that is written goes beside it. So too of managers that are made of this one, as
 * for each savepoint, until they begin their own.
 */
function keepInTransaction(manager: Fork): void {
  let hasBegun = false
  const fork = manager.fork.bind(manager)
  const begin = manager.begin.bind(manager)
  const ending = (method: string, end: () => Promise<void>) => async (): Promise<void> => {
    if (!hasBegun) throw refused(method)
    await end()
    hasBegun = false
  }
  Object.assign(manager, {
    fork(...options: unknown[]): Fork {
      const made = fork(...options)
      keepInTransaction(made)
      return made
    },
    async begin(...options: unknown[]): Promise<void> {
      if (manager.isInTransaction()) throw refused('begin')
      await begin(...options)
      hasBegun = true
    },
    commit: ending('commit', manager.commit.bind(manager)),
    rollback: ending('rollback', manager.rollback.bind(manager)),
  })
}

function refused(method: string): StoreError {
  return new StoreError(
    'ONCEMQ_TRANSACTION_ENDED',
    `mikroOrmTransactions: expected a handler that leaves its transaction to the store, received a call of ` +
      `${method}(), which did nothing; use transactional() inside, and return or throw to end it`,
  )
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
