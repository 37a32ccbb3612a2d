import type { Clock, CompleteUpdate, Random, UpdateAnswer } from '@oncemq/core/store'
import { StoreError, backoffMs, jittered } from '@oncemq/core/store'
import type { MongoCollection, MongoSession } from './client.ts'
import { nameOf, withCommands } from './commands.ts'
import { commitError, conflictError, isConflict, isUnknownCommit } from './errors.ts'
import type { Records, WriteConcernDocument } from './records.ts'

const COMMIT_RETRY = Object.freeze({ firstMs: 10, factor: 2, maxMs: 500 })

/** What a transaction needs of its store. */
export interface TransactionHome<Session extends MongoSession> {
  readonly collection: MongoCollection<Session>
  readonly records: Records
  readonly writeConcern: WriteConcernDocument
  readonly clock: Clock
  readonly random: Random
  readonly timeoutMs: number
}

/**
 * Runs `work` in a transaction of a session of its own, completes in it, and commits both or neither.
 *
 * The completion comes last and touches the record only then: the server keeps other writes of a record
 * that a transaction has touched waiting, and a batch of claims with them.
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
      maxCommitTimeMS: home.timeoutMs,
    })
    const answer = await workAndComplete(home, session, work)
    if (answer === 'ok') await commit(home, session)
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
    const answer = await complete(home, session, completion)
    if (answer === undefined) throw conflictError(undefined, where)
    return answer
  } catch (error) {
    if (isConflict(error)) throw conflictError(error, where)
    throw error
  }
}

async function complete<Session extends MongoSession>(
  { collection, records, clock, timeoutMs }: TransactionHome<Session>,
  session: Session,
  completion: CompleteUpdate,
): Promise<'ok' | 'lost' | 'ok before' | undefined> {
  const bound = { clock, timeoutMs }
  return withCommands(collection, bound, (commands) => records.completeIn(session, commands, completion))
}

/**
 * A commit may be asked for again: the server answers what became of the first. That is worth its time,
 * since an open transaction holds the record until the server ends it, after a minute by default.
 */
async function commit<Session extends MongoSession>(
  { collection, clock, random, timeoutMs }: TransactionHome<Session>,
  session: Session,
): Promise<void> {
  const deadlineMs = clock.monotonicMs() + timeoutMs
  for (let count = 0; ; count += 1) {
    try {
      await session.commitTransaction()
      return
    } catch (error) {
      const restMs = deadlineMs - clock.monotonicMs()
      if (!isUnknownCommit(error) || restMs <= 0) throw commitError(error, nameOf(collection))
      const delayMs = Math.min(restMs, jittered(backoffMs(COMMIT_RETRY, count), random))
      await new Promise<void>((resolve) => void clock.after(delayMs, resolve))
    }
  }
}

/** The driver makes an object of each transaction; a handler that has ended ours may have begun another. */
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
