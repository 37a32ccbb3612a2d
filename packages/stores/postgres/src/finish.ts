import type { AdvanceUpdate, CompleteUpdate, TransactionEnd } from '@oncemq/core/store'
import { partsOf, perProcess, storedOffset } from '@oncemq/core/store'
import { sqlState } from './errors.ts'
import { boundWaits } from './lock-waits.ts'
import type { LockWaits } from './lock-waits.ts'
import { advanceValues } from './logs.ts'
import type { Tables } from './statements.ts'
import { DONE, named, RUNNING } from './statements.ts'

/** What is run in a handler's transaction when its handler has ended, before the COMMIT. */
export interface Finish {
  /** Of what is prepared. */
  readonly name: string
  /** Prepares what completes a record, for as long as the session lasts: to plan it takes longest. */
  readonly prepare: string
  /**
   * Completes a record and moves a log, and fails as {@link finishFailureOf} tells unless it did both, or
   * unless the transaction of this number is open.
   */
  readonly sql: (end: TransactionEnd | undefined, transaction: string, isPrepared: boolean) => string
  /** Each answers `ours`, as before; `done`, by us; or something else, or nothing, for `lost`. */
  readonly standings: (end: TransactionEnd) => (readonly [text: string, values: unknown[]])[]
}

/** The record or log is not the claim's own any more; or another transaction is open, or none. */
export type FinishFailure = 'lost' | 'ended'

const INVALID_TEXT = '22P02'

/** No number: by its text, which has the transaction's own, the error is told from those of triggers. */
const failing = (transaction: string, failure: FinishFailure): string =>
  `(${transaction} || ' ${failure} ' || count(*))::integer`

/** How the finish of this transaction has failed, if that is what failed, and not a trigger. */
export function finishFailureOf(error: unknown, transaction: string): FinishFailure | undefined {
  if (sqlState(error) !== INVALID_TEXT) return undefined
  const { message } = error as Error
  return (['lost', 'ended'] as const).find((failure) => message.includes(`${transaction} ${failure} 0`))
}

/**
 * The statements fail where the transaction must not be committed, so that the COMMIT can follow in the same
 * message, and one round trip does. Such a message has no parameters; its values are numbers and hexadecimal
 * digits.
 */
export function finishOf({ records, logs }: Tables, { loneMs }: LockWaits): Finish {
  const prepared = named(completeSql(records, ['$1', '$2', '$3', '$4', '$5']))
  return {
    name: prepared.name,
    prepare: `PREPARE ${prepared.name} (uuid, uuid, interval, bytea, text) AS ${prepared.text}`,
    sql(end, transaction, isPrepared) {
      const { completion, advance } = partsOf(end)
      const statements: string[] = []
      if (completion !== undefined) {
        const values = literalsOf(completion, transaction)
        const execute = `EXECUTE ${prepared.name} (${values.join(', ')})`
        statements.push(isPrepared ? execute : completeSql(records, values))
      }
      if (advance !== undefined) statements.push(advanceSql(logs, advance, transaction))
      if (statements.length === 0) return checkSql(transaction)
      return [boundWaits(loneMs), ...statements].join('; ')
    },
    standings(end) {
      const { completion, advance } = partsOf(end)
      const asked: (readonly [string, unknown[]])[] = []
      if (completion !== undefined) asked.push([ownerSql(records), [completion.id, completion.claimId]])
      if (advance !== undefined) asked.push([standingSql(logs), advanceValues(advance)])
      return asked
    },
  }
}

/** The names of what is prepared on a connection, by whatever store of its pool. */
const preparedOn = perProcess('prepared', () => new WeakMap<object, Set<string>>())

export function isPreparedOn(client: object, name: string): boolean {
  return preparedOn.get(client)?.has(name) === true
}

export function notePrepared(client: object, name: string): void {
  const names = preparedOn.get(client) ?? new Set()
  preparedOn.set(client, names.add(name))
}

type Values = readonly [id: string, claimId: string, retention: string, result: string, transaction: string]

function literalsOf({ id, claimId, retentionMs, result }: CompleteUpdate, transaction: string): Values {
  // A handler may have set how backslashes in texts are read.
  const kept = result === undefined ? 'NULL' : `decode('${Buffer.from(result).toString('hex')}', 'hex')`
  return [`'${id}'::uuid`, `'${claimId}'::uuid`, `'${retentionMs} ms'::interval`, kept, `'${transaction}'`]
}

const isOpenSql = (transaction: string): string => `pg_current_xact_id_if_assigned()::text = ${transaction}`

/** Of the rows that were changed. What is computed from a constant alone would fail while it is planned. */
function verdict(isOpen: string, transaction: string): string {
  return `SELECT CASE WHEN count(*) = 1 THEN 1 WHEN ${isOpen} THEN ${failing(transaction, 'lost')}
      ELSE ${failing(transaction, 'ended')} END`
}

function completeSql(records: string, [id, claimId, retention, result, transaction]: Values): string {
  const isOpen = isOpenSql(transaction)
  return `
    WITH changed AS (
      UPDATE ${records} SET state = ${DONE}, lease_until = NULL,
        expires_at = clock_timestamp() + ${retention}, result = ${result}
      WHERE id = ${id} AND claim_id = ${claimId} AND state = ${RUNNING} AND ${isOpen}
      RETURNING id
    )
    ${verdict(isOpen, transaction)} FROM changed`
}

function advanceSql(logs: string, { id, epoch, from, next }: AdvanceUpdate, transaction: string): string {
  const number = `'${transaction}'`
  const isOpen = isOpenSql(number)
  return `
    WITH changed AS (
      UPDATE ${logs} SET next_offset = ${next}
      WHERE id = '${id}'::uuid AND epoch = ${epoch} AND next_offset = ${storedOffset(from)} AND ${isOpen}
      RETURNING id
    )
    ${verdict(isOpen, number)} FROM changed`
}

/** For a COMMIT of a transaction without a record. */
function checkSql(transaction: string): string {
  const number = `'${transaction}'`
  const ended = failing(number, 'ended')
  return `SELECT CASE WHEN ${isOpenSql(number)} THEN 1 ELSE ${ended} END FROM unnest('{}'::integer[])`
}

function ownerSql(records: string): string {
  return `
    SELECT CASE state WHEN ${DONE} THEN 'done' WHEN ${RUNNING} THEN 'ours' ELSE 'lost' END AS answer
    FROM ${records} WHERE id = $1 AND claim_id = $2`
}

/** id, epoch, from, next. */
function standingSql(logs: string): string {
  return `
    SELECT CASE next_offset WHEN $4::bigint THEN 'done' WHEN $3::bigint THEN 'ours' ELSE 'lost' END AS answer
    FROM ${logs} WHERE id = $1::uuid AND epoch = $2::bigint`
}
