import type { TransactionEnd, UpdateAnswer } from '@oncemq/core/store'
import { partsOf } from '@oncemq/core/store'
import type { MysqlRow } from './client.ts'
import type { LogStatements } from './logs.ts'
import { standingAnswer } from './logs.ts'
import type { Statements } from './statements.ts'
import { DONE, RUNNING } from './statements.ts'

/** What completes a record, and what moves a log. */
export type FinishStatements = Pick<Statements, 'change' | 'owner'> & { readonly logs: LogStatements }

/** Runs a statement in the handler's transaction. */
type Query = (statement: string) => Promise<unknown>

/** The statements that complete a record and move a log. Each changes one row, or must not be committed. */
export function changesOf({ change, logs }: FinishStatements, end: TransactionEnd | undefined): string[] {
  const { completion, advance } = partsOf(end)
  const completing = completion === undefined ? [] : [change([completion], completion.claimId)]
  const moving = advance === undefined ? [] : [logs.advance(advance)]
  return [...completing, ...moving]
}

/** Whether a record is still the claim's to complete, as far as there is one. */
export async function isRunning(
  query: Query,
  { owner }: FinishStatements,
  end: TransactionEnd | undefined,
): Promise<boolean> {
  const { completion } = partsOf(end)
  if (completion === undefined) return true
  const [found] = (await query(owner(completion))) as readonly MysqlRow[]
  return Number(found?.[0]) === RUNNING && found?.[1]?.toString('hex') === completion.claimId
}

/**
 * Whose record and log are that were not changed. What this claim has done is the repetition of a transaction
 * whose commit was not known: the first run's writes are there, so that this run's must not be.
 */
export async function ownerOf(
  query: Query,
  { owner, logs }: FinishStatements,
  end: TransactionEnd | undefined,
): Promise<UpdateAnswer> {
  const { completion, advance } = partsOf(end)
  if (completion !== undefined) {
    const [found] = (await query(owner(completion))) as readonly MysqlRow[]
    const isDone = Number(found?.[0]) === DONE && found?.[1]?.toString('hex') === completion.claimId
    if (!isDone) return 'lost'
  }
  if (advance === undefined) return 'ok'
  return standingAnswer(advance, (await query(logs.standing(advance))) as readonly MysqlRow[])
}
