import { createHash } from 'node:crypto'
import { boundedWaits, unawaitedCommit } from './lock-waits.ts'
import type { LockWaits } from './lock-waits.ts'

/** The states as they are stored. */
export const FREE = 0
export const RUNNING = 1
export const DONE = 2

/** How many blocks of the table a step of the sweep reads: 16 MB, about ten milliseconds. */
export const SWEEP_BLOCKS = 2048

/** The tables as SQL names them. */
export interface Tables {
  readonly records: string
  readonly meta: string
  readonly logs: string
}

/** A statement that may be prepared, since it takes longer to plan than to run. */
export interface NamedStatement {
  readonly name: string
  readonly text: string
}

export type Statement = string | NamedStatement

/** The statements of claims; a claim whose commit is not awaited may be gone after a crash of the server. */
export interface ClaimStatements {
  readonly insert: NamedStatement
  readonly insertMany: NamedStatement
  readonly claim: string
  readonly claimUnlocked: string
}

export interface Statements {
  readonly durable: ClaimStatements
  readonly fleeting: ClaimStatements
  readonly complete: NamedStatement
  readonly completeMany: string
  readonly update: (isLone: boolean) => string
  readonly inspect: string
  readonly forget: string
  readonly sweep: string
}

/**
 * Quotes the names of a table that was validated, in the given schema where its own name has none: the
 * `search_path` that a handler sets must not lead to another table.
 */
export function tablesOf(table: string, schema?: string): Tables {
  const isPlain = schema === undefined || table.includes('.')
  const place = isPlain ? '' : `"${schema.replaceAll('"', '""')}".`
  const quoted = (name: string): string => `${place}"${name.replace('.', '"."')}"`
  return { records: quoted(table), meta: quoted(`${table}_meta`), logs: quoted(`${table}_logs`) }
}

/**
 * Every statement of the store. Each is one transaction of its own, runs on whatever connection the pool
 * gives, and needs nothing that it left there: no setting, no lock, and a prepared statement only for as long
 * as there turns out to be one.
 *
 * Batches come as one array a column; what all entries have in common comes once, and such batches are sorted
 * by id already. Rows are locked in the order of their ids, so that workers wait for each other in one
 * direction and never in a circle. A record is found by `id = ANY (ARRAY[...])`, and all
 * other conditions stand inside of CASE, because that leaves the planner nothing but one probe of the primary
 * key for each entry in turn: with plain equations it was seen to read all of a table of 20,000 rows, and to
 * lock in physical order.
 *
 * Answers are rows for what is not as usual, none if all is. A row is one text, which no type parser of the
 * pool's owner changes.
 */
export function statementsOf({ records, meta }: Tables, waits: LockWaits): Statements {
  const { claimMs, manyMs, loneMs } = waits
  const bounded = boundedWaits(claimMs)
  const updates = { many: updateSql(records, manyMs), lone: updateSql(records, loneMs) }
  return {
    durable: claimsOf(records, bounded),
    fleeting: claimsOf(records, `${bounded} AND ${unawaitedCommit}`),
    complete: named(completeSql(records, loneMs)),
    completeMany: completeManySql(records, manyMs),
    update: (isLone) => (isLone ? updates.lone : updates.many),
    inspect: inspectSql(records),
    forget: forgetSql(records, loneMs),
    sweep: sweepSql(records, meta),
  }
}

function claimsOf(records: string, settings: string): ClaimStatements {
  return {
    insert: named(insertSql(records, settings)),
    insertMany: named(insertManySql(records, settings)),
    claim: claimSql(records, settings, WAITING),
    claimUnlocked: claimSql(records, settings, SKIPPING),
  }
}

/** One text has one name, also in other stores of the same pool. */
export function named(text: string): NamedStatement {
  return { name: `oncemq_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`, text }
}

/**
 * Times are of the server's clock as it is at this row, after any wait for it; now() would be the start of
 * the transaction.
 */
const after = (milliseconds: string): string => `clock_timestamp() + ${milliseconds} * interval '1 ms'`
const msUntil = (time: string): string => `ceil(extract(epoch FROM ${time} - clock_timestamp()) * 1000)`

/** Whether a record that is not done is of another payload than the request, as far as both are known. */
const conflicts = (record: string, request: string): string =>
  `(${record}.state <> ${DONE} AND ${record}.expires_at > clock_timestamp()
              AND ${record}.fingerprint <> ${request}.fingerprint) IS TRUE`

/**
 * Whether a record may be claimed: it is the claim's own; or it is free, or its lease or retention is over,
 * and its payload is the request's.
 */
const takeable = (record: string, request: string): string => `CASE
            WHEN ${record}.state = ${RUNNING} AND ${record}.claim_id = ${request}.claim_id THEN true
            WHEN ${conflicts(record, request)} THEN false
            WHEN ${record}.state = ${FREE} THEN true
            WHEN ${record}.state = ${RUNNING} THEN ${record}.lease_until <= clock_timestamp()
            ELSE ${record}.expires_at <= clock_timestamp() END`

/** The record of each entry, as `seen`. A lateral query with OFFSET stays one probe for each entry. */
const joinSeen = (records: string): string => `LEFT JOIN LATERAL
          (SELECT * FROM ${records} AS record WHERE record.id = entry.id OFFSET 0) AS seen ON true`

const columns = '(id, state, claim_id, epoch, attempts, lease_until, expires_at, fingerprint, label)'

/**
 * id, claim id, lease, lease + retention, fingerprint, label -> 1 row changed if the id was absent, else 0.
 * For a lone claim: to plan the batch's statement takes longer than to run this one. Its times come as
 * intervals, and it answers no row, since that is measurably less to plan.
 */
function insertSql(records: string, settings: string): string {
  return `
    INSERT INTO ${records} ${columns}
    SELECT $1::uuid, ${RUNNING}, $2::uuid, 1, 1,
      clock_timestamp() + $3::interval, clock_timestamp() + $4::interval, $5::uuid, $6::text
    WHERE ${settings}
    ON CONFLICT (id) DO NOTHING`
}

/**
 * Arrays of id and claim id, lease, lease + retention, arrays of fingerprint and label -> the position, from
 * 1, of each entry that is not new. Nearly all batches need no more, and to plan the next statement takes as
 * long as 80 entries take to run. It may be prepared: an insert finds its conflicts by the primary key in
 * every plan, and the rest reads nothing but the batch.
 */
function insertManySql(records: string, settings: string): string {
  return `
    WITH entry AS MATERIALIZED (
      SELECT * FROM unnest($1::uuid[], $2::uuid[], $5::uuid[], $6::text[])
        WITH ORDINALITY AS entry (id, claim_id, fingerprint, label, at)
      WHERE ${settings}
    ), inserted AS (
      INSERT INTO ${records} ${columns}
      SELECT id, ${RUNNING}, claim_id, 1, 1, clock_timestamp() + $3::interval,
        clock_timestamp() + $4::interval, fingerprint, label FROM entry
      ON CONFLICT (id) DO NOTHING RETURNING id
    )
    SELECT at::text AS answer FROM entry WHERE id NOT IN (SELECT id FROM inserted)`
}

/** What a claim does about a record that others have locked, and what it then says of the entry. */
interface Locking {
  readonly lock: string
  readonly untaken: 'again' | 'locked'
}

const WAITING: Locking = { lock: 'FOR NO KEY UPDATE', untaken: 'again' }
const SKIPPING: Locking = { lock: 'FOR NO KEY UPDATE SKIP LOCKED', untaken: 'locked' }

/**
 * Arrays of id, claim id, lease, retention, fingerprint, label -> a row for each entry that is not new.
 *
 * All entries are looked at. What is not there is inserted; what may be claimed is locked, and claimed if it
 * still may be; all else writes nothing. 'again' means that the record changed after this statement's
 * snapshot was taken, so that another statement has to look; 'locked' that somebody else has its row, perhaps
 * a host that vanished, until the server ends its transaction.
 */
function claimSql(records: string, settings: string, { lock, untaken }: Locking): string {
  // A claim that is asked for again, because its answer got lost, changes nothing but the lease.
  const repeated = `record.state = ${RUNNING} AND record.claim_id = other.claim_id`
  return `
    WITH entry AS MATERIALIZED (
      SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::float8[], $4::float8[], $5::uuid[], $6::text[])
        WITH ORDINALITY AS entry (id, claim_id, lease_ms, retention_ms, fingerprint, label, at)
      WHERE ${settings} ORDER BY id
    ), looked AS MATERIALIZED (
      SELECT entry.*, seen.state, seen.epoch, seen.lease_until,
        seen.fingerprint AS kept_fingerprint, seen.result AS kept_result,
        ${takeable('seen', 'entry')} AS is_takeable, ${conflicts('seen', 'entry')} AS is_conflict
      FROM entry ${joinSeen(records)}
      ORDER BY entry.id
    ), inserted AS (
      INSERT INTO ${records} ${columns}
      SELECT id, ${RUNNING}, claim_id, 1, 1, ${after('lease_ms')}, ${after('(lease_ms + retention_ms)')},
        fingerprint, label FROM looked WHERE state IS NULL
      ON CONFLICT (id) DO NOTHING RETURNING id
    ), other AS MATERIALIZED (
      SELECT looked.*, lockable.id IS NOT NULL AS is_locked_here FROM looked
        LEFT JOIN LATERAL (SELECT record.id FROM ${records} AS record
          WHERE looked.is_takeable AND record.id = ANY (ARRAY[looked.id])
          ${lock}) AS lockable ON true
      WHERE looked.state IS NOT NULL OR looked.id NOT IN (SELECT id FROM inserted)
      ORDER BY looked.id
    ), taken AS (
      UPDATE ${records} AS record SET state = ${RUNNING}, claim_id = other.claim_id,
        epoch = CASE WHEN ${repeated} THEN record.epoch ELSE record.epoch + 1 END,
        attempts = CASE WHEN ${repeated} THEN record.attempts WHEN record.state = ${DONE} THEN 1
          ELSE record.attempts + 1 END,
        lease_until = ${after('other.lease_ms')},
        expires_at = ${after('(other.lease_ms + other.retention_ms)')},
        fingerprint = CASE WHEN ${repeated} THEN record.fingerprint ELSE other.fingerprint END,
        label = CASE WHEN ${repeated} THEN record.label ELSE other.label END,
        result = NULL
      FROM other WHERE record.id = ANY (ARRAY[other.id]) AND other.is_locked_here
        AND ${takeable('record', 'other')}
      RETURNING record.id, record.epoch, record.attempts
    )
    SELECT json_build_object('at', at,
      'status', CASE WHEN taken.id IS NOT NULL THEN 'granted'
        WHEN state IS NULL OR is_locked_here THEN 'again' WHEN is_takeable THEN '${untaken}'
        WHEN is_conflict THEN 'conflict' WHEN state = ${RUNNING} THEN 'busy' ELSE 'done' END,
      'epoch', coalesce(taken.epoch, other.epoch, 0), 'attempt', taken.attempts,
      'leaseRemainingMs', greatest(1, ${msUntil('lease_until')}),
      'fingerprint', kept_fingerprint, 'result', encode(kept_result, 'base64'))::text AS answer
    FROM other LEFT JOIN taken USING (id)`
}

/**
 * id, claim id, retention, result -> 1 row changed if the record ran with this claim id, else 0. For a lone
 * one. Prepared while the table has a page or two, it may go on to read all of the table, until autovacuum
 * has counted the rows.
 */
function completeSql(records: string, waitMs: number): string {
  return `
    UPDATE ${records}
    SET state = ${DONE}, lease_until = NULL, expires_at = clock_timestamp() + $3::interval, result = $4
    WHERE id = $1 AND claim_id = $2 AND state = ${RUNNING} AND ${boundedWaits(waitMs)}`
}

/**
 * Arrays of id and claim id, retention, array of results -> as many rows changed as records ran with these
 * claim ids. Planned each time: prepared while the table is small, it might read all of it for each entry.
 */
function completeManySql(records: string, waitMs: number): string {
  return `
    UPDATE ${records} AS record
    SET state = ${DONE}, lease_until = NULL, expires_at = clock_timestamp() + $3::interval,
      result = entry.result
    FROM unnest($1::uuid[], $2::uuid[], $4::bytea[]) AS entry (id, claim_id, result)
    WHERE ${boundedWaits(waitMs)} AND record.id = ANY (ARRAY[entry.id])
      AND CASE record.state WHEN ${RUNNING} THEN record.claim_id = entry.claim_id ELSE false END`
}

/**
 * Arrays of id, claim id, new state, lease (0 unless it stays running), retention, new attempts (NULL: as
 * they are), result -> a row for each entry that did not run with its claim id. 'again' as with claims.
 */
function updateSql(records: string, waitMs: number): string {
  return `
    WITH entry AS MATERIALIZED (
      SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::float8[], $5::float8[], $6::integer[],
          $7::bytea[])
        WITH ORDINALITY AS entry (id, claim_id, state, lease_ms, retention_ms, attempts, result, at)
      WHERE ${boundedWaits(waitMs)} ORDER BY id
    ), changed AS (
      UPDATE ${records} AS record SET state = entry.state,
        lease_until = CASE entry.state WHEN ${RUNNING} THEN ${after('entry.lease_ms')} END,
        expires_at = ${after('(entry.lease_ms + entry.retention_ms)')},
        attempts = coalesce(entry.attempts, record.attempts), result = entry.result
      FROM entry WHERE record.id = ANY (ARRAY[entry.id])
        AND CASE record.state WHEN ${RUNNING} THEN record.claim_id = entry.claim_id ELSE false END
      RETURNING record.id
    )
    SELECT json_build_object('at', at, 'status', CASE
      WHEN seen.claim_id IS DISTINCT FROM entry.claim_id THEN 'lost'
      WHEN seen.state = ${RUNNING} THEN 'again'
      WHEN seen.state = ${DONE} AND entry.state = ${DONE} THEN 'ok'
      ELSE 'lost' END)::text AS answer
    FROM (SELECT entry.* FROM entry LEFT JOIN changed USING (id) WHERE changed.id IS NULL) AS entry
      ${joinSeen(records)}`
}

/** Array of ids -> a row for each record there is. */
function inspectSql(records: string): string {
  return `
    SELECT json_build_object('at', entry.at,
      'state', seen.state, 'epoch', seen.epoch, 'attempts', seen.attempts,
      'leaseRemainingMs', coalesce(${msUntil('seen.lease_until')}, 0),
      'expiresInMs', ${msUntil('seen.expires_at')},
      'fingerprint', seen.fingerprint, 'label', seen.label,
      'result', encode(seen.result, 'base64'))::text AS answer
    FROM unnest($1::uuid[]) WITH ORDINALITY AS entry (id, at) ${joinSeen(records)}
    WHERE seen.id IS NOT NULL`
}

/** Array of ids. */
function forgetSql(records: string, waitMs: number): string {
  return `
    DELETE FROM ${records} WHERE id IN (SELECT id FROM ${records}
      WHERE ${boundedWaits(waitMs)} AND id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE)`
}

/**
 * limit -> one row if it was this worker's turn, else none.
 *
 * Reads the next blocks of the table, in physical order, and removes what has expired there. That needs no
 * index on the expiry, which every completion would have to change. The place is kept in the other table, so
 * that workers go on where one has stopped. Rows that somebody else is at are left for the next time.
 */
function sweepSql(records: string, meta: string): string {
  return `
    WITH turn AS MATERIALIZED (
      SELECT value AS block FROM ${meta} WHERE name = 'sweep_block' FOR NO KEY UPDATE SKIP LOCKED
    ), gone AS (
      DELETE FROM ${records} WHERE expires_at <= clock_timestamp() AND ctid = ANY (ARRAY(
        SELECT ctid FROM ${records} WHERE ctid >= (SELECT '(' || block || ',0)' FROM turn)::tid
          AND ctid < (SELECT '(' || block + ${SWEEP_BLOCKS} || ',0)' FROM turn)::tid
          AND expires_at <= clock_timestamp() LIMIT $1::bigint FOR UPDATE SKIP LOCKED))
      RETURNING id
    ), step AS MATERIALIZED (
      SELECT block, (SELECT count(*) FROM gone) AS gone,
        pg_relation_size('${records}') / current_setting('block_size')::bigint AS blocks FROM turn
    ), moved AS (
      UPDATE ${meta} AS meta SET value = CASE WHEN step.gone = $1::bigint THEN step.block
        WHEN step.block + ${SWEEP_BLOCKS} < step.blocks THEN step.block + ${SWEEP_BLOCKS} ELSE 0 END
      FROM step WHERE meta.name = 'sweep_block'
    )
    SELECT json_build_object('gone', gone, 'blocks', blocks)::text AS answer FROM step`
}
