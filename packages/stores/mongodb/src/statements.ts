import type { ClaimRequest, ClaimUpdate } from '@oncemq/core'

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
}

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

/**
 * Asks for one record. In: the request. Out: `upserted` names the record if it was absent; whether any other
 * was granted is to be read from the record, whose claim id is then the request's.
 *
 * Atomic, since the server computes the new record from the one that it replaces, and does so again if another
 * write came between. A record that is taken is replaced by itself, which writes nothing. Two upserts of one
 * absent id can meet: one then fails with a duplicate key, and finds the other's record.
 *
 * A pipeline, since only that can compare with the server's clock (`$$NOW`). Whatever is a string of the user
 * stands in `$literal`: else a label such as `$$NOW` would be computed. All else is bytes and numbers.
 */
export function claimStatement(request: ClaimRequest): UpdateStatement {
  const { id, leaseMs, retentionMs, fingerprint, label } = request
  const claimId = bytesOf(request.claimId)
  const isMine = { $and: [isRunning, { $eq: ['$claimId', claimId] }] }
  const times = {
    leaseUntil: { $add: ['$$NOW', leaseMs] },
    expiresAt: { $add: ['$$NOW', leaseMs + retentionMs] },
  }
  const granted = {
    _id: '$_id',
    state: RUNNING,
    claimId,
    epoch: { $add: [{ $ifNull: ['$epoch', 0] }, 1] },
    attempts: { $cond: [isDone, 1, { $add: [{ $ifNull: ['$attempts', 0] }, 1] }] },
    ...times,
    ...(fingerprint === undefined ? {} : { fingerprint: bytesOf(fingerprint) }),
    ...(label === undefined ? {} : { label: { $literal: label } }),
  }
  const branches = [
    { case: isMine, then: { $mergeObjects: ['$$ROOT', times] } },
    { case: isTaken, then: '$$ROOT' },
  ]
  return {
    q: { _id: bytesOf(id) },
    u: [{ $replaceWith: { $switch: { branches, default: granted } } }],
    upsert: true,
  }
}

/**
 * Changes one record that is running with the entry's claim id. In: the update; `releaseMark`, 16 bytes. Out:
 * the command's `n` counts it if the guard held.
 *
 * A released record has the mark in place of its claim id, so that the batch that released it can be told from
 * one that came too late.
 */
export function updateStatement(update: ClaimUpdate, releaseMark: Uint8Array): UpdateStatement {
  const { id, claimId } = update
  return {
    q: { _id: bytesOf(id), claimId: bytesOf(claimId), state: RUNNING },
    u: [{ $set: changesOf(update, releaseMark) }],
    upsert: false,
  }
}

function changesOf(update: ClaimUpdate, releaseMark: Uint8Array): object {
  const { retentionMs } = update
  switch (update.op) {
    case 'renew':
      return {
        leaseUntil: { $add: ['$$NOW', update.leaseMs] },
        expiresAt: { $add: ['$$NOW', update.leaseMs + retentionMs] },
      }
    case 'complete':
      return {
        state: DONE,
        expiresAt: { $add: ['$$NOW', retentionMs] },
        ...(update.result === undefined ? {} : { result: update.result }),
      }
    case 'release':
      return {
        state: FREE,
        claimId: releaseMark,
        attempts: update.attempts,
        expiresAt: { $add: ['$$NOW', retentionMs] },
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
  return { _id: { $in: ids.map(bytesOf) } }
}
