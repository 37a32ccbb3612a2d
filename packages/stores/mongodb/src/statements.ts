import type { ClaimRequest, ClaimUpdate } from '@oncemq/core/store'

/** The states as they are stored. */
export const FREE = 0
export const RUNNING = 1
export const DONE = 2

/** A record as {@link recordFields} has the server answer it. Times are as of the server's clock. */
export interface RecordDocument {
  readonly _id: Uint8Array
  readonly state: typeof FREE | typeof RUNNING | typeof DONE
  readonly claimId: Uint8Array
  readonly epoch: number
  readonly attempts: number
  readonly leaseRemainingMs: number
  readonly expiresInMs: number
  readonly fingerprint?: Uint8Array
  readonly label?: string
  readonly result?: Uint8Array
}

/** One entry of an `update` command. */
export interface UpdateStatement {
  readonly q: object
  readonly u: readonly object[]
  readonly upsert: boolean
  readonly multi: boolean
}

/** Updates that share a statement. */
type Group = [ClaimUpdate, ...ClaimUpdate[]]

/** Hexadecimal digits as the bytes that are stored. */
export function bytesOf(hex: string): Uint8Array {
  return Buffer.from(hex, 'hex')
}

const isRunning = { $eq: ['$state', RUNNING] }
const isDone = { $eq: ['$state', DONE] }
const isTaken = {
  $or: [
    { $and: [isRunning, { $gt: ['$leaseUntil', '$$NOW'] }] },
    { $and: [isDone, { $gt: ['$expiresAt', '$$NOW'] }] },
  ],
}

// Every statement is a pipeline, since only that can compare with the server's clock (`$$NOW`). Whatever is
// a string of the user stands in `$literal`: else a label such as `$$NOW` would be computed. All else is
// bytes and numbers, which are no expressions.

/** Whether the record is of another payload and has not expired. One without a fingerprint is of none. */
function isOfAnother(fingerprint: Uint8Array): object {
  const isOther = { $ne: [{ $ifNull: ['$fingerprint', fingerprint] }, fingerprint] }
  return { $and: [{ $ne: ['$state', DONE] }, { $gt: ['$expiresAt', '$$NOW'] }, isOther] }
}

/**
 * Creates the records of these requests that are absent, with the requests' claims, and leaves the others as
 * they are. In: the requests; `collection`, its name. Out: fails with a duplicate key if there was another,
 * and does not say which; the absent ones are created also then.
 *
 * Inserts take half of the time that upserts take. The pipeline gives them the server's clock; no expression
 * is made of what a request holds.
 */
export function createCommand(requests: readonly ClaimRequest[], collection: string): object {
  return {
    aggregate: 1,
    pipeline: [
      { $documents: { $literal: requests.map(createdRecord) } },
      { $set: { leaseUntil: fromNow('$leaseUntil'), expiresAt: fromNow('$expiresAt') } },
      { $merge: { into: collection, on: '_id', whenMatched: 'fail', whenNotMatched: 'insert' } },
    ],
    cursor: {},
  }
}

/** Its times are milliseconds from now. */
function createdRecord({ id, claimId, leaseMs, retentionMs, fingerprint, label }: ClaimRequest): object {
  return {
    _id: bytesOf(id),
    state: RUNNING,
    claimId: bytesOf(claimId),
    leaseUntil: leaseMs,
    expiresAt: leaseMs + retentionMs,
    epoch: 1,
    attempts: 1,
    ...(fingerprint === undefined ? {} : { fingerprint: bytesOf(fingerprint) }),
    ...(label === undefined ? {} : { label }),
  }
}

/**
 * Claims a record in whatever state it is. In: the request. Out: `upserted` names it if it was absent; if
 * another was granted, its claim id is the request's. One that is taken is replaced by itself, which writes
 * nothing.
 *
 * Atomic, since the server computes the new record from the one that it replaces, and does so again if
 * another write came between. Two upserts of one absent id can meet: one then fails with a duplicate key,
 * and finds the other's record.
 */
export function claimStatement(request: ClaimRequest): UpdateStatement {
  const { id, claimId, leaseMs, retentionMs, label } = request
  const owner = bytesOf(claimId)
  const fingerprint = request.fingerprint === undefined ? undefined : bytesOf(request.fingerprint)
  const times = { leaseUntil: fromNow(leaseMs), expiresAt: fromNow(leaseMs + retentionMs) }
  const isOwn = { $and: [isRunning, { $eq: ['$claimId', owner] }] }
  const renewed = { $mergeObjects: ['$$ROOT', times] }
  const granted = {
    _id: bytesOf(id),
    state: RUNNING,
    claimId: owner,
    ...times,
    epoch: { $add: [{ $ifNull: ['$epoch', 0] }, 1] },
    attempts: { $cond: [isDone, 1, { $add: [{ $ifNull: ['$attempts', 0] }, 1] }] },
    ...(fingerprint === undefined ? {} : { fingerprint }),
    ...(label === undefined ? {} : { label: { $literal: label } }),
  }
  const isKept = fingerprint === undefined ? isTaken : { $or: [isTaken, isOfAnother(fingerprint)] }
  const record = { $cond: [isOwn, renewed, { $cond: [isKept, '$$ROOT', granted] }] }
  return { q: { _id: bytesOf(id) }, u: [{ $replaceWith: record }], upsert: true, multi: false }
}

/** The server's time so many milliseconds from now, or a field that says how many. */
function fromNow(ms: number | `$${string}`): object {
  return { $add: ['$$NOW', ms] }
}

/**
 * Changes the records that are running with their entries' claim ids. In: the updates; `releaseMark`, 16
 * bytes. Out: the command's `n` counts those whose guard held; it does not say which.
 *
 * Atomic per record. Updates that change their records in the same way share a statement, at half the cost.
 * There an id is not held together with its claim id, but with the claim ids of all: a claim id is random
 * and of one record alone, so that no other entry's can be on it.
 *
 * A released record has the mark in place of its claim id, so that the batch that released it can be told
 * from one that came too late.
 */
export function updateStatements(
  updates: readonly ClaimUpdate[],
  releaseMark: Uint8Array,
): readonly UpdateStatement[] {
  const groups = new Map<unknown, Group>()
  for (const update of updates) {
    const kind = kindOf(update)
    const group = groups.get(kind)
    if (group === undefined) groups.set(kind, [update])
    else group.push(update)
  }
  return [...groups.values()].map((group) => groupStatement(group, releaseMark))
}

function groupStatement(group: Group, releaseMark: Uint8Array): UpdateStatement {
  return {
    q: {
      _id: oneOf(group.map(({ id }) => id)),
      claimId: oneOf(group.map(({ claimId }) => claimId)),
      state: RUNNING,
    },
    u: [{ $set: changesOf(group[0], releaseMark) }],
    upsert: false,
    multi: group.length > 1,
  }
}

/** The same for updates that change their records in the same way; a result is one record's own. */
function kindOf(update: ClaimUpdate): unknown {
  switch (update.op) {
    case 'renew':
      return `renew ${update.leaseMs} ${update.retentionMs}`
    case 'complete':
      return update.result === undefined ? `complete ${update.retentionMs}` : update
    case 'release':
      return `release ${update.attempts} ${update.retentionMs}`
  }
}

function changesOf(update: ClaimUpdate, releaseMark: Uint8Array): object {
  const { retentionMs } = update
  switch (update.op) {
    case 'renew':
      return {
        leaseUntil: fromNow(update.leaseMs),
        expiresAt: fromNow(update.leaseMs + retentionMs),
      }
    case 'complete':
      return {
        state: DONE,
        expiresAt: fromNow(retentionMs),
        ...(update.result === undefined ? {} : { result: update.result }),
      }
    case 'release':
      return {
        state: FREE,
        claimId: releaseMark,
        attempts: update.attempts,
        expiresAt: fromNow(retentionMs),
      }
  }
}

/** The projection of a `find`: a {@link RecordDocument}. */
export const recordFields = Object.freeze({
  state: 1,
  claimId: 1,
  epoch: 1,
  attempts: 1,
  leaseRemainingMs: { $subtract: ['$leaseUntil', '$$NOW'] },
  expiresInMs: { $subtract: ['$expiresAt', '$$NOW'] },
  fingerprint: 1,
  label: 1,
  result: 1,
})

/** Selects the records of these ids. */
export function recordsOf(ids: readonly string[]): object {
  return { _id: oneOf(ids) }
}

/** The server plans for one value quicker than for a list of one. */
function oneOf(hexes: readonly string[]): object {
  const values = hexes.map(bytesOf)
  const [value] = values
  return value !== undefined && values.length === 1 ? { $eq: value } : { $in: values }
}
