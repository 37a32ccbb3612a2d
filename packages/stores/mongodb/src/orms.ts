// The transactions of Mongoose, for the option `transactions`. It is not imported: it is typed by what is
// needed of it. The page is docs/orms.md.
import type { OrmTransactions } from '@oncemq/core/store'
import { requireOrm } from '@oncemq/core/store'
import type { MongoSession } from './client.ts'

export type { OrmTransactions } from '@oncemq/core/store'

/** What is needed of a connection of Mongoose. */
export interface MongooseConnection<Session> {
  startSession(): Promise<Session>
  transaction<Answer>(work: (session: Session) => Promise<Answer>): Promise<Answer>
}

/**
 * `context.tx` is a session of Mongoose in a transaction: give it to each call as `{ session: tx }`, or set
 * `transactionAsyncLocalStorage`. Documents know again what they were when a transaction is rolled back.
 * @example new MongoStore({ collection, transactions: mongooseTransactions(mongoose.connection) })
 */
export function mongooseTransactions<Session>(
  connection: MongooseConnection<Session>,
): OrmTransactions<MongoSession, Session> {
  const methods = ['startSession', 'transaction']
  requireOrm('mongooseTransactions', 'a connection of Mongoose', connection, methods)
  return {
    within(session, work) {
      const startSession = async (): Promise<unknown> => begun(session)
      const beside = Object.create(connection, { startSession: { value: startSession } }) as typeof connection
      return beside.transaction(work)
    },
  }
}

/** A session whose transaction Mongoose neither begins nor ends, nor runs again. */
function begun(session: MongoSession): MongoSession {
  let hasBegun = false
  const own = new Proxy(session, {
    get(target, name) {
      if (name === 'withTransaction' && !hasBegun) return once
      if (name === 'endSession' && hasBegun) return async () => undefined
      return Reflect.get(target, name) as unknown
    },
  })
  const once = (work: (session: MongoSession) => Promise<unknown>): Promise<unknown> => {
    hasBegun = true
    return work(own)
  }
  return own
}
