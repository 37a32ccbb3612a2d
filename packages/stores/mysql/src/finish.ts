import type { AdvanceUpdate, CompleteUpdate, TransactionEnd, UpdateAnswer } from '@oncemq/core/store'
import { partsOf } from '@oncemq/core/store'
import type { MysqlHeader, MysqlRow } from './client.ts'
import type { LogStatements } from './logs.ts'
import { isMoved, standingAnswer } from './logs.ts'
import type { Statements } from './statements.ts'
import { DONE } from './statements.ts'

/** What completes a record, and what moves a log. */
export type FinishStatements = Pick<Statements, 'change' | 'owner'> & { readonly logs: LogStatements }

/** Runs a statement in the handler's transaction. */
type Query = (statement: string) => Promise<unknown>

/** Whether a record or a log was changed, and whether it was so before. */
interface Found {
  readonly isChanged: boolean
  readonly wasDone: boolean
}

const CHANGED: Found = Object.freeze({ isChanged: true, wasDone: false })

/** Applies in the handler's transaction what ends it, and answers whether that is to be committed. */
export async function finish(
  query: Query,
  statements: FinishStatements,
  end: TransactionEnd | undefined,
): Promise<{ answer: UpdateAnswer; commit: boolean }> {
  const { completion, advance } = partsOf(end)
  const found: Found[] = []
  if (completion !== undefined) found.push(await complete(query, statements, completion))
  if (advance !== undefined) found.push(await move(query, statements, advance))
  if (found.every(({ isChanged }) => isChanged)) return { answer: 'ok', commit: true }
  // The repetition of a transaction whose commit was not known: the first run's writes are there, so that
  // this run's must not be.
  return { answer: found.every(({ wasDone }) => wasDone) ? 'ok' : 'lost', commit: false }
}

async function complete(query: Query, { change, owner }: FinishStatements, completion: CompleteUpdate) {
  const { claimId } = completion
  if (isMoved((await query(change([completion], claimId))) as MysqlHeader)) return CHANGED
  const [found] = (await query(owner(completion))) as readonly MysqlRow[]
  const wasDone = Number(found?.[0]) === DONE && found?.[1]?.toString('hex') === claimId
  return { isChanged: false, wasDone }
}

async function move(query: Query, { logs }: FinishStatements, advance: AdvanceUpdate) {
  if (isMoved((await query(logs.advance(advance))) as MysqlHeader)) return CHANGED
  const rows = (await query(logs.standing(advance))) as readonly MysqlRow[]
  return { isChanged: false, wasDone: standingAnswer(advance, rows) === 'ok' }
}
