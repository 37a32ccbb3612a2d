import type {
  BatchSteps,
  Clock,
  CompleteUpdate,
  NextMember,
  Random,
  TransactionMember,
  UpdateAnswer,
} from '@oncemq/core/store'
import {
  backoffMs,
  endWithin,
  isOncemqError,
  jittered,
  together,
  untilAborted,
  within,
} from '@oncemq/core/store'
import type { MongoCollection, MongoSession } from './client.ts'
import { nameOf, withCommands } from './commands.ts'
import {
  commitError,
  conflictError,
  endedError,
  isUnknownCommit,
  transientError,
  transientErrorIn,
  unansweredError,
} from './errors.ts'
import type { Records, WriteConcernDocument } from './records.ts'
import { lend } from './tx.ts'

const COMMIT_RETRY = Object.freeze({ firstMs: 10, factor: 2, maxMs: 500 })

/** What the handler's code does in its transaction. */
type Work<Session> = (tx: Session) => Promise<CompleteUpdate | undefined>

/** What a transaction needs of its store. */
export interface TransactionContext<Session extends MongoSession> {
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
  context: TransactionContext<Session>,
  work: Work<Session>,
  signal?: AbortSignal,
): Promise<UpdateAnswer> {
  signal?.throwIfAborted()
  const session = startSession(context)
  try {
    startTransaction(context, session)
    const completion = await run(context, session, work, signal)
    const answer = await complete(context, session, completion)
    if (answer === 'ok') await commit(context, session)
    return answer === 'lost' ? 'lost' : 'ok'
  } finally {
    // Rolls back what is open. A server that does not answer ends it by itself.
    await endWithin(() => session.endSession(), context)
  }
}

/**
 * Runs what `next` gives in one transaction: see `BatchingStore`. It sees the data of its start, and of the
 * claims those that were there by then; so all are taken first.
 */
export async function commitBatch<Session extends MongoSession>(
  context: TransactionContext<Session>,
  next: NextMember<Session>,
): Promise<void> {
  const members: TransactionMember<Session>[] = []
  for (let member = next(); member !== undefined; member = next()) members.push(member)
  const waiting = members.values()
  await together(new MongoBatch(context), () => waiting.next().value)
  // One has ended the transaction of all: each is run by itself.
  for (const { reject } of waiting) reject(conflictError(undefined, nameOf(context.collection)))
}

/** A transaction of several handlers. There are no savepoints: one that fails takes all of it back. */
class MongoBatch<Session extends MongoSession> implements BatchSteps<Session> {
  readonly #context: TransactionContext<Session>
  readonly #session: Session
  readonly #untilMs: number
  #isEndedByHandler = false
  isOpen = true

  constructor(context: TransactionContext<Session>) {
    this.#context = context
    this.#session = startSession(context)
    // The server ends it after a minute, and there are leases.
    this.#untilMs = context.clock.monotonicMs() + context.timeoutMs
  }

  get hasRoom(): boolean {
    return this.isOpen && this.#context.clock.monotonicMs() < this.#untilMs
  }

  async begin(): Promise<void> {
    startTransaction(this.#context, this.#session)
  }

  async run({
    work,
    signal,
  }: Pick<TransactionMember<Session>, 'work' | 'signal'>): Promise<UpdateAnswer | 'kept'> {
    try {
      const end = await run(this.#context, this.#session, work as Work<Session>, signal)
      const answer = await complete(this.#context, this.#session, end)
      if (answer === 'ok') return 'kept'
      this.isOpen = false
      return answer === 'lost' ? 'lost' : 'ok'
    } catch (error) {
      this.isOpen = false
      this.#isEndedByHandler = isOncemqError(error) && error.code === 'ONCEMQ_TRANSACTION_ENDED'
      throw error
    }
  }

  commit(): Promise<void> {
    return commit(this.#context, this.#session)
  }

  end(): Promise<void> {
    return endWithin(() => this.#session.endSession(), this.#context)
  }

  async wasCommitted(): Promise<boolean | undefined> {
    return this.#isEndedByHandler ? undefined : false
  }
}

function startSession<Session extends MongoSession>({
  collection,
  records,
}: TransactionContext<Session>): Session {
  const session = collection.db.client.startSession({ causalConsistency: true })
  if (records.claimedAt !== undefined) session.advanceOperationTime(records.claimedAt)
  return session
}

function startTransaction<Session extends MongoSession>(
  { writeConcern, timeoutMs }: TransactionContext<Session>,
  session: Session,
): void {
  session.startTransaction({
    readConcern: { level: 'snapshot' },
    writeConcern,
    readPreference: 'primary',
    maxCommitTimeMS: timeoutMs,
  })
}

/** Lends the session to the handler, until it ends or its time is over. */
async function run<Session extends MongoSession>(
  { collection, clock, timeoutMs }: TransactionContext<Session>,
  session: Session,
  work: Work<Session>,
  signal: AbortSignal | undefined,
): Promise<CompleteUpdate | undefined> {
  const ours = transactionOf(session)
  const { tx, answered, revoke } = lend(session)
  const bound = { clock, timeoutMs, timeoutError: () => unansweredError(timeoutMs) }
  let completion: CompleteUpdate | undefined
  try {
    completion = await untilAborted(() => work(tx), signal)
    const asked = answered()
    // What it did not await is a part of it.
    if (asked !== undefined) await untilAborted(() => within(() => asked, bound), signal)
  } catch (error) {
    // What it has committed is there: it must not be run again.
    if (!isOpen(session, ours)) throw endedError(error)
    if (signal?.aborted === true) throw error
    const transient = transientErrorIn(error)
    throw transient === undefined ? error : transientError(transient, nameOf(collection))
  } finally {
    revoke()
  }
  if (!isOpen(session, ours)) throw endedError()
  return completion
}

async function complete<Session extends MongoSession>(
  { collection, records, clock, timeoutMs }: TransactionContext<Session>,
  session: Session,
  completion: CompleteUpdate | undefined,
): Promise<'ok' | 'lost' | 'ok before'> {
  if (completion === undefined) return 'ok'
  const where = nameOf(collection)
  try {
    const answer = await withCommands(collection, { clock, timeoutMs }, (commands) =>
      records.completeIn(session, commands, completion),
    )
    if (answer === undefined) throw conflictError(undefined, where)
    return answer
  } catch (error) {
    const transient = transientErrorIn(error)
    throw transient === undefined ? error : transientError(transient, where)
  }
}

/**
 * A commit may be asked for again: the server answers what became of the first. That is worth its time,
 * since an open transaction holds the record until the server ends it, after a minute by default.
 */
async function commit<Session extends MongoSession>(
  { collection, clock, random, timeoutMs }: TransactionContext<Session>,
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
function isOpen(session: MongoSession, ours: unknown): boolean {
  return session.inTransaction() && transactionOf(session) === ours
}

function transactionOf(session: MongoSession): unknown {
  return (session as { transaction?: unknown }).transaction
}
