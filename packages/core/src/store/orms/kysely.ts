import type { OrmTransactions } from '../orm-transactions.ts'
import { requireOrm } from './require-orm.ts'

/** What is needed of a Kysely instance, from version 0.28. */
export interface KyselyInstance<Tx> {
  startTransaction(): { execute(): Promise<Tx> }
  getExecutor(): object
}

/** A statement as Kysely has compiled it. */
export interface KyselyQuery {
  readonly sql: string
  readonly parameters: readonly unknown[]
}

/** What Kysely is answered. */
export interface KyselyResult {
  readonly rows: unknown[]
  readonly numAffectedRows?: bigint | undefined
  readonly numChangedRows?: bigint | undefined
  readonly insertId?: bigint | undefined
}

/** Where drivers differ. */
export interface KyselyDriver<Connection> {
  readonly quote: '"' | '`'
  query(connection: Connection, query: KyselyQuery): Promise<KyselyResult>
}

/** A transaction that its holder ends. */
interface ControlledTransaction {
  readonly isCommitted: boolean
  readonly isRolledBack: boolean
  commit(): { execute(): Promise<void> }
  rollback(): { execute(): Promise<void> }
}

/** Kysely makes instances of parts: the team's own but for the driver. */
type Constructor<Tx> = new (parts: object) => KyselyInstance<Tx>

/**
 * Kysely runs a transaction on a driver that is given the connection. What differs between databases is in
 * `driver`.
 * @throws OptionError if `db` is no Kysely instance, or one of before 0.28.
 */
export function onKysely<Connection, Tx>(
  db: KyselyInstance<Tx>,
  driver: KyselyDriver<Connection>,
): OrmTransactions<Connection, Tx> {
  const methods = ['startTransaction', 'getExecutor']
  requireOrm('kyselyTransactions', 'a Kysely instance, of 0.28 or newer', db, methods)
  return {
    within: async (connection, work) => ended(await begin(db, driver, connection), work),
  }
}

/** Begins a transaction of Kysely on a connection. */
export function begin<Connection, Tx>(
  db: KyselyInstance<Tx>,
  driver: KyselyDriver<Connection>,
  connection: Connection,
): Promise<Tx> {
  const own = {
    executeQuery: (query: KyselyQuery) => driver.query(connection, query),
    async *streamQuery(query: KyselyQuery) {
      yield await driver.query(connection, query)
    },
  }
  const executor = db.getExecutor() as { withConnectionProvider(provider: object): object }
  const provider = { provideConnection: (consumer: (connection: object) => unknown) => consumer(own) }
  const parts = {
    config: {},
    dialect: {},
    driver: commandsOf((sql) => driver.query(connection, { sql, parameters: [] }), driver.quote),
    executor: executor.withConnectionProvider(provider),
  }
  return new (db.constructor as Constructor<Tx>)(parts).startTransaction().execute()
}

/** Runs `work`, and ends the transaction as it ended. */
export async function ended<Tx, Answer>(tx: Tx, work: (tx: Tx) => Promise<Answer>): Promise<Answer> {
  const controlled = tx as unknown as ControlledTransaction
  try {
    const answer = await work(tx)
    await controlled.commit().execute()
    return answer
  } catch (error) {
    if (!controlled.isCommitted && !controlled.isRolledBack) await controlled.rollback().execute()
    throw error
  }
}

function commandsOf(send: (sql: string) => Promise<unknown>, quote: string): object {
  const quoted = (name: string): string => `${quote}${name.replaceAll(quote, quote + quote)}${quote}`
  return {
    beginTransaction: () => send('begin'),
    commitTransaction: () => send('commit'),
    rollbackTransaction: () => send('rollback'),
    savepoint: (_: unknown, name: string) => send(`savepoint ${quoted(name)}`),
    rollbackToSavepoint: (_: unknown, name: string) => send(`rollback to savepoint ${quoted(name)}`),
    releaseSavepoint: (_: unknown, name: string) => send(`release savepoint ${quoted(name)}`),
  }
}
