import type { Clock, CompleteUpdate, UpdateAnswer } from '@oncemq/core'
import { StoreError } from '@oncemq/core'
import type { MongoCollection, MongoSession } from './client.ts'
import { nameOf, withCommands } from './commands.ts'
import { commitError, conflictError, isConflict, isUnknownCommit } from './errors.ts'
import type { Records, WriteConcernDocument } from './records.ts'

// The driver has asked a second time itself.
const COMMITS_MAX = 3

/** What a transaction needs of its store. */
export interface TransactionHome<Session extends MongoSession> {
  readonly collection: MongoCollection<Session>
  readonly records: Records
  readonly writeConcern: WriteConcernDocument
  readonly clock: Clock
  readonly callTimeoutMs: number
}

/**
 * Runs `work` in a transaction of a session of its own, completes in it, and commits both or neither.
 *
 * The completion comes last and touches the record only then: the server keeps other writes of a record that a
 * transaction has touched waiting, and a batch of claims with them.
 */
export async function commitTogether<Session extends MongoSession>(
  home: TransactionHome<Session>,
  work: (tx: Session) => Promise<CompleteUpdate>,
): Promise<UpdateAnswer> {
  const session = home.collection.db.client.startSession()
  try {
    session.startTransaction({
      readConcern: { level: 'snapshot' },
      writeConcern: home.writeConcern,
      readPreference: 'primary',
      maxCommitTimeMS: home.callTimeoutMs,
    })
    const answer = await workAndComplete(home, session, work)
    if (answer === 'ok') await commit(session, nameOf(home.collection))
    return answer === 'lost' ? 'lost' : 'ok'
  } finally {
    await session.endSession()
  }
}

async function workAndComplete<Session extends MongoSession>(
  home: TransactionHome<Session>,
  session: Session,
  work: (tx: Session) => Promise<CompleteUpdate>,
): Promise<'ok' | 'lost' | 'ok before'> {
  const where = nameOf(home.collection)
  try {
    const ours = transactionOf(session)
    const completion = await work(session)
    requireSameTransaction(session, ours)
    return await complete(home, session, completion)
  } catch (error) {
    if (isConflict(error)) throw conflictError(error, where)
    throw error
  }
}

async function complete<Session extends MongoSession>(
  { collection, records, clock, callTimeoutMs }: TransactionHome<Session>,
  session: Session,
  completion: CompleteUpdate,
): Promise<'ok' | 'lost' | 'ok before'> {
  const bound = { clock, timeoutMs: callTimeoutMs }
  return withCommands(collection, bound, (commands) => records.completeIn(session, commands, completion))
}

/** A commit may be asked for again: the server answers what became of the first. */
async function commit(session: MongoSession, where: string): Promise<void> {
  for (let count = 1; ; count += 1) {
    try {
      await session.commitTransaction()
      return
    } catch (error) {
      if (!isUnknownCommit(error) || count === COMMITS_MAX) throw commitError(error, where)
    }
  }
}

/** The driver makes a new object for each transaction; a handler that has ended ours may have begun another. */
function requireSameTransaction(session: MongoSession, ours: unknown): void {
  if (session.inTransaction() && transactionOf(session) === ours) return
  throw new StoreError(
    'ONCEMQ_STORE_REFUSED',
    'MongoStore: expected the transaction to be open when the handler returns, received it ended; ' +
      'leave commitTransaction and abortTransaction to the store. What the handler has committed by itself ' +
      'stays, and the message is not recorded as done',
  )
}

function transactionOf(session: MongoSession): unknown {
  return (session as { transaction?: unknown }).transaction
}
