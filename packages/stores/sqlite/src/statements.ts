import type { DatabaseSync, StatementSync } from 'node:sqlite'

/** The states as they are stored. */
export const FREE = 0
export const RUNNING = 1
export const DONE = 2

/** What `find` answers: a record, its binary columns in hexadecimal. */
export interface RecordRow {
  readonly state: typeof FREE | typeof RUNNING | typeof DONE
  readonly claimId: string
  readonly epoch: number
  readonly attempts: number
  readonly leaseUntilMs: number
  readonly expiresAtMs: number
  readonly fingerprint: string | null
  readonly label: string | null
  readonly result: Uint8Array | null
}

export interface Statements {
  readonly now: StatementSync
  readonly insert: StatementSync
  readonly find: StatementSync
  readonly take: StatementSync
  readonly renew: StatementSync
  readonly complete: StatementSync
  readonly release: StatementSync
  readonly forget: StatementSync
  readonly sweep: StatementSync
}

/**
 * Every statement of the store, prepared once. Those that write run inside BEGIN IMMEDIATE: no other
 * connection writes between the first of them and the COMMIT, so what one has read still holds when the next
 * one runs.
 *
 * One row a statement, many statements a transaction: inside one process a call of SQLite costs about a
 * microsecond, and one statement for many rows (by json_each) was measured to be slower. The commit is what
 * costs.
 */
export function prepareStatements(database: DatabaseSync, table: string): Statements {
  const prepare = (sql: string): StatementSync => database.prepare(sql)
  return {
    // -> the store's clock in milliseconds: one for all processes of the machine, read under the write lock.
    now: prepare(`SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER) AS nowMs`),

    // id, claim id, lease's end, expiry, fingerprint, label -> 1 row changed if the id was absent, else 0.
    insert: prepare(`
      INSERT INTO "${table}"
        (id, state, claim_id, epoch, attempts, lease_until, expires_at, fingerprint, label)
      VALUES (unhex(?), ${RUNNING}, unhex(?), 1, 1, ?, ?, unhex(?), ?)
      ON CONFLICT (id) DO NOTHING`),

    // id -> the record.
    find: prepare(`
      SELECT state, lower(hex(claim_id)) AS claimId, epoch, attempts,
        lease_until AS leaseUntilMs, expires_at AS expiresAtMs,
        nullif(lower(hex(fingerprint)), '') AS fingerprint, label, result
      FROM "${table}" WHERE id = unhex(?)`),

    // claim id, epoch, attempts, lease's end, expiry, fingerprint, label, id: a new claim of a record that is
    // there.
    take: prepare(`
      UPDATE "${table}" SET state = ${RUNNING}, claim_id = unhex(?), epoch = ?, attempts = ?, lease_until = ?,
        expires_at = ?, fingerprint = unhex(?), label = ?, result = NULL
      WHERE id = unhex(?)`),

    // The next three change the record that runs with this claim id -> 1 row changed, or 0 when the claim is
    // lost.

    // lease's end, expiry, id, claim id.
    renew: prepare(`
      UPDATE "${table}" SET lease_until = ?, expires_at = ?
      WHERE id = unhex(?) AND claim_id = unhex(?) AND state = ${RUNNING}`),

    // expiry, result, id, claim id.
    complete: prepare(`
      UPDATE "${table}" SET state = ${DONE}, lease_until = 0, expires_at = ?, result = ?
      WHERE id = unhex(?) AND claim_id = unhex(?) AND state = ${RUNNING}`),

    // expiry, attempts, id, claim id. The record stays, so that its epoch goes on.
    release: prepare(`
      UPDATE "${table}" SET state = ${FREE}, lease_until = 0, expires_at = ?, attempts = ?
      WHERE id = unhex(?) AND claim_id = unhex(?) AND state = ${RUNNING}`),

    // id.
    forget: prepare(`DELETE FROM "${table}" WHERE id = unhex(?)`),

    // now, limit -> as many rows changed as have gone, the oldest first, found by the index on expires_at.
    sweep: prepare(`
      DELETE FROM "${table}" WHERE rowid IN
        (SELECT rowid FROM "${table}" WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)`),
  }
}
