import type { ClaimRequest, ClaimUpdate, CompleteUpdate } from '@oncemq/core/store'
import type { Dialect } from './dialect.ts'
import type { Entries } from './entries.ts'
import { entriesOf } from './entries.ts'
import { bytes, hex, hexOrNull, integer, text } from './literals.ts'

/** The states as they are stored. */
export const FREE = 0
export const RUNNING = 1
export const DONE = 2

const STATE_AFTER = Object.freeze({ release: FREE, renew: RUNNING, complete: DONE })

/** How many records a step of the sweep looks at: a few milliseconds. */
export const SWEEP_RANGE = 10_000
/** After so long a sweeper that has said nothing more is taken for dead. */
const SWEEP_TURN_MS = 30_000

/** The tables as SQL names them. */
export interface Tables {
  readonly records: string
  readonly meta: string
  readonly logs: string
}

/**
 * Quotes the names of a table that was validated, in the given database where its own name has none: what
 * `USE` a handler says must not lead to another table.
 */
export function tablesOf(table: string, database?: string): Tables {
  const isPlain = database === undefined || table.includes('.')
  const place = isPlain ? '' : `\`${database.replaceAll('`', '``')}\`.`
  const quoted = (name: string): string => `${place}\`${name.replace('.', '`.`')}\``
  return { records: quoted(table), meta: quoted(`${table}_meta`), logs: quoted(`${table}_logs`) }
}

/**
 * The server's clock in integer milliseconds, as of the statement's start, for which both functions are
 * defined. UNIX_TIMESTAMP(NOW(3)) would go by the session's time zone, and be an hour wrong in the hour that
 * comes twice in autumn. Whoever waited for a row meanwhile has an earlier time than it is: its lease ends
 * early rather than late, and it takes over late rather than early.
 */
export const NOW_MS = '(UNIX_TIMESTAMP() * 1000 + MICROSECOND(NOW(3)) DIV 1000)'

/** READ COMMITTED for the one transaction that follows on this connection; the session's default stays. */
export function isolationSql(isolation: string): string {
  return `SET TRANSACTION ISOLATION LEVEL ${isolation}, READ WRITE`
}

export type Statements = ReturnType<typeof statementsOf>

/**
 * Every statement of the store. Each is one transaction of its own, runs on whatever connection the pool
 * gives, and leaves nothing on it. Batches are ordered by id, and rows are locked in that order: workers wait
 * for each other in one direction and hardly ever in a circle.
 */
export function statementsOf({ records, meta }: Tables, dialect: Dialect) {
  return {
    // -> insertId 0 if all ids were absent: each is granted. Else 1: those that were there are as they were,
    // and `find` tells who has what. A small batch takes MariaDB half as long as with `claim`.
    insert: (batch: readonly ClaimRequest[]) => insertSql(records, dialect, batch),

    // -> the same, for records in whatever state.
    claim: (batch: readonly ClaimRequest[]) => claimSql(records, dialect, batch),

    // -> as many affected rows as entries if all records ran with their claim ids; else `find` tells. For
    // updates that are alike: it takes MariaDB half as long as with `update`, and MySQL four fifths.
    change: (batch: readonly ClaimUpdate[], token: string) => changeSql(records, batch, token),

    // -> the same, for updates of any kind.
    update: (batch: readonly ClaimUpdate[], token: string) => updateSql(records, dialect, batch, token),

    // -> the records there are, in any order.
    find: (ids: readonly string[]) =>
      `SELECT id, state, claim_id, epoch, attempts, lease_until, expires_at, ${NOW_MS}, fingerprint, ` +
      `result, CAST(label AS BINARY) FROM ${records} WHERE id IN (${ids.map(hex).join(',')})`,

    // -> those of these ids whose records nobody has locked. Locks them for no longer than it takes to look.
    lockable: (ids: readonly string[]) =>
      `SELECT id FROM ${records} WHERE id IN (${ids.map(hex).join(',')}) FOR UPDATE SKIP LOCKED`,

    forget: (ids: readonly string[]) => `DELETE FROM ${records} WHERE id IN (${ids.map(hex).join(',')})`,

    // -> the state and the owner as they are committed, whatever this transaction's snapshot has.
    owner: ({ id }: CompleteUpdate) =>
      `SELECT state, claim_id FROM ${records} WHERE id = ${hex(id)} LOCK IN SHARE MODE`,

    // -> 1 affected row if it is this worker's turn to sweep. A row and not a lock of the session, since that
    // ends with the connection and is not known on the other nodes of a cluster.
    beginSweep: () =>
      `UPDATE ${meta} SET value = ${NOW_MS} + ${SWEEP_TURN_MS} ` +
      `WHERE name = 'sweep_until' AND value <= ${NOW_MS}`,

    endSweep: () => `UPDATE ${meta} SET value = 0 WHERE name = 'sweep_until'`,

    // -> the id at which the next range begins; nothing at the table's end.
    rangeEnd: (from: string) =>
      `SELECT id FROM ${records} WHERE id >= ${hex(from)} ORDER BY id LIMIT 1 OFFSET ${SWEEP_RANGE}`,

    // -> ids of the range that have expired. Reads without a lock, by the primary key: an index on expires_at
    // would have to be changed by each completion, and was measured to make sweeps slower too.
    expired: (from: string, to: string | undefined, limit: number) =>
      `SELECT id FROM ${records} WHERE id >= ${hex(from)} ` +
      `${to === undefined ? '' : `AND id < ${hex(to)} `}AND expires_at <= ${NOW_MS} ` +
      `ORDER BY id LIMIT ${integer(limit)}`,

    // -> as many affected rows as have gone.
    remove: (ids: readonly string[]) =>
      `DELETE FROM ${records} WHERE id IN (${ids.map(hex).join(',')}) AND expires_at <= ${NOW_MS}`,

    // Fails where nothing may be written, and changes nothing.
    probe: () => `UPDATE ${meta} SET value = value WHERE name = ''`,
  }
}

type ClaimColumn = keyof typeof claimColumns

const CLAIM_COLUMNS = 'id, state, claim_id, epoch, attempts, lease_until, expires_at, fingerprint, label'

function insertSql(records: string, dialect: Dialect, batch: readonly ClaimRequest[]): string {
  return (
    `${rowsSql(records, batch, entriesOf(batch, claimColumns, dialect))} ` +
    `ON DUPLICATE KEY UPDATE ${records}.epoch = ${records}.epoch + LAST_INSERT_ID(1) - 1`
  )
}

function claimSql(records: string, dialect: Dialect, batch: readonly ClaimRequest[]): string {
  const entries = entriesOf(batch, claimColumns, dialect)
  return `${rowsSql(records, batch, entries)} ON DUPLICATE KEY UPDATE ${takeSql(records, entries.value)}`
}

const claimColumns = {
  id: ({ id }: ClaimRequest) => hex(id),
  claim_id: ({ claimId }: ClaimRequest) => hex(claimId),
  lease_ms: ({ leaseMs }: ClaimRequest) => integer(leaseMs),
  expiry_ms: ({ leaseMs, retentionMs }: ClaimRequest) => integer(leaseMs + retentionMs),
  fingerprint: ({ fingerprint }: ClaimRequest) => hexOrNull(fingerprint),
  label: ({ label }: ClaimRequest) => text(label),
}

/** Of many, times are computed from a table of the entries: written into each row, they parse slower. */
function rowsSql(
  records: string,
  batch: readonly ClaimRequest[],
  { table, value }: Entries<ClaimColumn>,
): string {
  const row =
    `${value.id}, ${RUNNING}, ${value.claim_id}, 1, 1, ${NOW_MS} + ${value.lease_ms}, ` +
    `${NOW_MS} + ${value.expiry_ms}, ${value.fingerprint}, ${value.label}`
  const rows = batch.length === 1 ? `VALUES (${row})` : `SELECT ${row} FROM ${table}`
  return `INSERT INTO ${records} (${CLAIM_COLUMNS}) ${rows}`
}

/**
 * What happens to a record that is there: a new claim if it is free or its lease or retention is over, unless
 * it is not done and of another payload; a new lease if it is this claim's own; else nothing. Columns are
 * assigned from left to right, and each sees what was assigned before it: what depends on the old state comes
 * first, and `isTakeable` stays as it is through the rest, since once the fingerprint is assigned there is no
 * conflict, and once the claim id and then the state are assigned it is the claim's own.
 */
function takeSql(records: string, entry: Entries<ClaimColumn>['value']): string {
  const old = (column: string): string => `${records}.${column}`
  const isOwner = `${old('claim_id')} = ${entry.claim_id}`
  const isOwn = `${old('state')} = ${RUNNING} AND ${isOwner}`
  const isConflict =
    `(${old('state')} <> ${DONE} AND ${old('expires_at')} > ${NOW_MS} ` +
    `AND ${old('fingerprint')} <> ${entry.fingerprint}) IS TRUE`
  const isTakeable =
    `CASE WHEN ${isOwn} THEN 1 WHEN ${isConflict} THEN 0 WHEN ${old('state')} = ${FREE} THEN 1 ` +
    `WHEN ${old('state')} = ${RUNNING} THEN ${isOwner} OR ${old('lease_until')} <= ${NOW_MS} ` +
    `ELSE ${old('expires_at')} <= ${NOW_MS} END`
  const attempts =
    `CASE WHEN ${old('state')} = ${DONE} THEN 1 WHEN ${isOwn} THEN ${old('attempts')} ` +
    `ELSE ${old('attempts')} + 1 END`
  const taken = (column: string, value: string): string =>
    `${old(column)} = IF(${isTakeable}, ${value}, ${old(column)})`
  return [
    // LAST_INSERT_ID(1) is 1, and tells the client that there was a record.
    `${old('epoch')} = ${old('epoch')} + IF(${isTakeable}, IF(${isOwn}, 0, 1), 0) + LAST_INSERT_ID(1) - 1`,
    taken('attempts', attempts),
    taken('fingerprint', `IF(${isOwn}, ${old('fingerprint')}, ${entry.fingerprint})`),
    taken('label', `IF(${isOwn}, ${old('label')}, ${entry.label})`),
    taken('result', 'NULL'),
    taken('claim_id', entry.claim_id),
    taken('state', `${RUNNING}`),
    taken('lease_until', `${NOW_MS} + ${entry.lease_ms}`),
    taken('expires_at', `${NOW_MS} + ${entry.expiry_ms}`),
  ].join(', ')
}

/** The owner of a free record is a token of the call that released it, so that no other may say it did. */
function ownerAfter(update: ClaimUpdate, token: string): string {
  return hex(update.op === 'release' ? token : update.claimId)
}

function leaseMsOf(update: ClaimUpdate): number {
  return update.op === 'renew' ? update.leaseMs : 0
}

function attemptsOf(update: ClaimUpdate): string {
  return update.op === 'release' ? integer(update.attempts) : 'NULL'
}

function resultOf(update: ClaimUpdate): Uint8Array | undefined {
  return update.op === 'complete' ? update.result : undefined
}

/** Whether the updates change their records in the same way, so that `change` takes them. */
export function areAlike(batch: readonly ClaimUpdate[]): boolean {
  const [first] = batch as [ClaimUpdate]
  return batch.every(
    (update) =>
      update.op === first.op &&
      update.retentionMs === first.retentionMs &&
      leaseMsOf(update) === leaseMsOf(first) &&
      attemptsOf(update) === attemptsOf(first) &&
      resultOf(update) === resultOf(first),
  )
}

/**
 * An id is not held together with its claim id, but with the claim ids of all: a claim id is random and of
 * one record alone, so that no other entry's can be on it. The index finds each record by itself, in the
 * order of the ids, never by a scan.
 */
function changeSql(records: string, batch: readonly ClaimUpdate[], token: string): string {
  const [first] = batch as [ClaimUpdate]
  const { op, retentionMs } = first
  const leaseMs = leaseMsOf(first)
  const changes = [
    `state = ${STATE_AFTER[op]}`,
    `lease_until = ${op === 'renew' ? `${NOW_MS} + ${integer(leaseMs)}` : 0}`,
    `expires_at = ${NOW_MS} + ${integer(leaseMs + retentionMs)}`,
    ...(op === 'release' ? [`claim_id = ${hex(token)}`, `attempts = ${attemptsOf(first)}`] : []),
    ...(op === 'complete' ? [`result = ${bytes(first.result)}`] : []),
  ]
  const ids = batch.map(({ id }) => hex(id))
  const claimIds = batch.map(({ claimId }) => hex(claimId))
  return (
    `UPDATE ${records} FORCE INDEX (PRIMARY) SET ${changes.join(', ')} ` +
    `WHERE id IN (${ids.join(',')}) AND claim_id IN (${claimIds.join(',')}) AND state = ${RUNNING}`
  )
}

/** The join reads the entries in their order and finds each record by its primary key, never by a scan. */
function updateSql(records: string, dialect: Dialect, batch: readonly ClaimUpdate[], token: string): string {
  const releases = batch.some(({ op }) => op === 'release')
  const columns = {
    id: ({ id }: ClaimUpdate) => hex(id),
    claim_id: ({ claimId }: ClaimUpdate) => hex(claimId),
    owner: (update: ClaimUpdate) => (releases ? ownerAfter(update, token) : 'NULL'),
    state: ({ op }: ClaimUpdate) => integer(STATE_AFTER[op]),
    lease_ms: (update: ClaimUpdate) => integer(leaseMsOf(update)),
    expiry_ms: (update: ClaimUpdate) => integer(leaseMsOf(update) + update.retentionMs),
    attempts: attemptsOf,
    result: (update: ClaimUpdate) => bytes(resultOf(update)),
  }
  const { table, value } = entriesOf(batch, columns, dialect)
  return (
    `UPDATE ${table} ` +
    `STRAIGHT_JOIN ${records} AS record FORCE INDEX FOR JOIN (PRIMARY) ON record.id = ${value.id} ` +
    `SET record.lease_until = IF(${value.state} = ${RUNNING}, ${NOW_MS} + ${value.lease_ms}, 0), ` +
    `record.expires_at = ${NOW_MS} + ${value.expiry_ms}, ` +
    `record.attempts = IFNULL(${value.attempts}, record.attempts), record.result = ${value.result}, ` +
    `record.claim_id = ${releases ? value.owner : value.claim_id}, record.state = ${value.state} ` +
    `WHERE record.state = ${RUNNING} AND record.claim_id = ${value.claim_id}`
  )
}
