import { isOncemqError, StoreError } from '../errors.ts'
import type { NextMember, TransactionMember } from './batch-contract.ts'
import type { UpdateAnswer } from './contract.ts'

/** A transaction of several handlers, as a store has it. */
export interface BatchSteps<Tx> {
  begin(): Promise<void>
  /**
   * Runs a handler and completes. `kept`: both are in the transaction. Otherwise nothing of it is: it is
   * rolled back to a savepoint set before it, or with the whole transaction, which is not open any more then.
   */
  run(member: Pick<TransactionMember<Tx>, 'work' | 'signal'>): Promise<UpdateAnswer | 'kept'>
  /** Whether the transaction is the one that was begun, and its connection of use. */
  readonly isOpen: boolean
  /** Whether a further handler may be run in it. */
  readonly hasRoom: boolean
  commit(): Promise<void>
  /** Rolls back what is open, and gives the connection back. Never rejects. */
  end(): Promise<void>
  /** Asked after the end of one that did not stay open: whether it was committed, if that can be told. */
  wasCommitted(): Promise<boolean | undefined>
}

/**
 * Handles several in one transaction: see {@link BatchingStore.transactions}.
 *
 *   begin ──▶ run ──▶ run ──▶ … ──▶ commit ──▶ all that were kept are answered
 *              │ failed, lost: to the savepoint, answered at once
 *              └ no more open (a handler's own COMMIT, a lost connection) ──▶ ask what became of it
 */
export async function together<Tx>(steps: BatchSteps<Tx>, next: NextMember<Tx>): Promise<void> {
  try {
    await steps.begin()
  } catch (error) {
    await steps.end()
    for (let member = next(); member !== undefined; member = next()) member.reject(error)
    return
  }
  const kept: TransactionMember<Tx>[] = []
  for (let member = next(); member !== undefined; member = steps.hasRoom ? next() : undefined) {
    if (await isKept(steps, member)) kept.push(member)
  }
  const failure = await endOf(steps, kept.length > 0)
  for (const member of kept) {
    if (failure === undefined) member.resolve('ok')
    else member.reject(failure)
  }
}

async function isKept<Tx>(steps: BatchSteps<Tx>, member: TransactionMember<Tx>): Promise<boolean> {
  try {
    const answer = await steps.run(member)
    if (answer === 'kept') return true
    member.resolve(answer)
  } catch (error) {
    member.reject(error)
  }
  return false
}

/** Commits where there is something to. Answers what those are told whose effect may not be there. */
async function endOf(steps: BatchSteps<never>, hasKept: boolean): Promise<StoreError | undefined> {
  const { isOpen } = steps
  const failure = isOpen && hasKept ? await steps.commit().then(() => undefined, commitFailure) : undefined
  await steps.end()
  if (isOpen || !hasKept) return failure
  const wasCommitted = await steps.wasCommitted()
  if (wasCommitted === true) return undefined
  return wasCommitted === false ? notCommitted() : unknown()
}

function commitFailure(error: unknown): StoreError {
  const code = isOncemqError(error) ? error.code : undefined
  const isUnknown = code === 'ONCEMQ_COMMIT_UNKNOWN' || code === 'ONCEMQ_TRANSACTION_ENDED'
  return isUnknown ? unknown(error) : notCommitted(error)
}

function notCommitted(cause?: unknown): StoreError {
  return new StoreError(
    'ONCEMQ_TRANSACTION_CONFLICT',
    'expected to commit a batch, but another of its handlers, or the server, is in the way; each is to be ' +
      'run again by itself',
    cause === undefined ? {} : { cause },
  )
}

function unknown(cause?: unknown): StoreError {
  return new StoreError(
    'ONCEMQ_COMMIT_UNKNOWN',
    'expected to learn what became of a batch whose transaction has ended, received no answer; the message ' +
      'is delivered again and finds out',
    cause === undefined ? {} : { cause },
  )
}
