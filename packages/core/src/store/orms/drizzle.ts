import type { OrmTransactions } from '../orm-transactions.ts'
import { requireOrm } from './require-orm.ts'

/** What is needed of a drizzle database, of any version that has it. */
export interface DrizzleDatabase<Tx> {
  transaction<Answer>(work: (tx: Tx) => Promise<Answer>): Promise<Answer>
}

interface Session<Tx> extends DrizzleDatabase<Tx> {
  readonly client: unknown
}

/** A session of drizzle holds what it sends by, so that one which inherits from it sends by another. */
export function onDrizzle<Connection, Tx>(db: DrizzleDatabase<Tx>): OrmTransactions<Connection, Tx> {
  const session = (db as unknown as { readonly session?: Session<Tx> } | undefined)?.session
  const expected = 'a drizzle database of node-postgres or mysql2'
  requireOrm('drizzleTransactions', expected, session, ['transaction'])
  requireOrm('drizzleTransactions', expected, session?.client, ['query'])
  return {
    within: (connection, work) =>
      (Object.create(session as object, { client: { value: connection } }) as Session<Tx>).transaction(work),
  }
}
