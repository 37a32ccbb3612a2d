import type { CompleteUpdate } from '@oncemq/core/store'
import { boundedWaits } from './lock-waits.ts'
import type { LockWaits } from './lock-waits.ts'
import type { Tables } from './statements.ts'
import { DONE, named, RUNNING } from './statements.ts'

/** What is run in a handler's transaction when its handler has ended, before the COMMIT. */
export interface Finish {
  /** Of what is prepared. */
  readonly name: string
  /** Prepares what {@link Finish.execute} runs, for as long as the session lasts. */
  readonly prepare: string
  /** Completes a record, and fails by {@link FINISH} unless it did. */
  readonly complete: (completion: CompleteUpdate, transaction: string) => string
  /** The same where it was prepared: to plan it takes longer than to run it. */
  readonly execute: (completion: CompleteUpdate, transaction: string) => string
  /** Fails by ENDED unless the transaction of this number is open: for a COMMIT without a completion. */
  readonly check: (transaction: string) => string
  /** id, claim id -> the state if this claim id is the record's. */
  readonly owner: string
}

/**
 * By what they fail. LOST: the record did not run with this claim id. ENDED: another transaction is open, or
 * none.
 */
export const FINISH = Object.freeze({ LOST: '22012', ENDED: '2201E' })

/** Of no rows. What is computed from a constant alone would fail while it is planned. */
const FAILING = Object.freeze({ LOST: '1 / count(*)', ENDED: 'ln(-count(*))' })

/**
 * The statements fail where the transaction must not be committed, so that the COMMIT can follow in the same
 * message, and one round trip does. Such a message has no parameters; its values are numbers and hexadecimal
 * digits.
 */
export function finishOf({ records }: Tables, { loneMs }: LockWaits): Finish {
  const prepared = named(completeSql(records, loneMs, ['$1', '$2', '$3', '$4', '$5']))
  return {
    name: prepared.name,
    prepare: `PREPARE ${prepared.name} (uuid, uuid, interval, bytea, text) AS ${prepared.text}`,
    complete: (completion, transaction) => completeSql(records, loneMs, literalsOf(completion, transaction)),
    execute: (completion, transaction) =>
      `EXECUTE ${prepared.name} (${literalsOf(completion, transaction).join(', ')})`,
    check: (transaction) => {
      const isOpen = isOpenSql(`'${transaction}'`)
      return `SELECT CASE WHEN ${isOpen} THEN 1 ELSE ${FAILING.ENDED} END FROM unnest('{}'::integer[])`
    },
    owner: `SELECT state::text AS answer FROM ${records} WHERE id = $1 AND claim_id = $2`,
  }
}

/** The names of what is prepared on a connection, by whatever store of its pool. */
const preparedOn = new WeakMap<object, Set<string>>()

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

function completeSql(
  records: string,
  waitMs: number,
  [id, claimId, retention, result, transaction]: Values,
): string {
  const isOpen = isOpenSql(transaction)
  return `
    WITH changed AS (
      UPDATE ${records} SET state = ${DONE}, lease_until = NULL,
        expires_at = clock_timestamp() + ${retention}, result = ${result}
      WHERE id = ${id} AND claim_id = ${claimId} AND state = ${RUNNING} AND ${isOpen}
        AND ${boundedWaits(waitMs)}
      RETURNING id
    )
    SELECT CASE WHEN ${isOpen} THEN ${FAILING.LOST} ELSE ${FAILING.ENDED} END FROM changed`
}
