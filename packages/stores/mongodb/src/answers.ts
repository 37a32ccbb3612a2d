import { isFreshLease } from '@oncemq/core/store'
import type { ClaimAnswer, ClaimRequest, ClaimUpdate, StoredRecord, UpdateAnswer } from '@oncemq/core/store'
import type { RecordDocument } from './statements.ts'
import { DONE, FREE, RUNNING } from './statements.ts'

const STATE_NAMES = Object.freeze({ [FREE]: 'free', [RUNNING]: 'running', [DONE]: 'done' } as const)

/**
 * What the record says to a claim that did not create it; `undefined` when it may be granted, and the claim
 * of a running record that is this claim's own.
 */
export function claimAnswer(request: ClaimRequest, record: RecordDocument): ClaimAnswer | undefined {
  const { state, epoch, leaseRemainingMs, expiresInMs, result } = record
  const fingerprint = hexOrNone(record.fingerprint)
  if (state === DONE) return expiresInMs > 0 ? { status: 'done', fingerprint, result } : undefined
  const areKnown = fingerprint !== undefined && request.fingerprint !== undefined
  if (areKnown && fingerprint !== request.fingerprint && expiresInMs > 0) return { status: 'conflict' }
  return state === RUNNING && leaseRemainingMs > 0 ? { status: 'busy', epoch, leaseRemainingMs } : undefined
}

/** Whether the record runs with this request's claim. */
export function isOwn({ claimId }: ClaimRequest, record: RecordDocument): boolean {
  return record.state === RUNNING && hexOf(record.claimId) === claimId
}

/** What a running record with the request's claim says; `undefined` when its lease is to be renewed. */
export function ownAnswer(
  { leaseMs }: ClaimRequest,
  { epoch, attempts, leaseRemainingMs }: RecordDocument,
): ClaimAnswer | undefined {
  return isFreshLease(leaseMs, leaseRemainingMs) ? { status: 'granted', epoch, attempt: attempts } : undefined
}

/**
 * Whether the record is as this update leaves it, or as an earlier run of the same completion has left it;
 * `undefined` when it still runs with the update's claim, so that the update passed it by.
 */
export function updateAnswer(
  update: ClaimUpdate,
  record: RecordDocument | undefined,
  mark: string,
): UpdateAnswer | undefined {
  if (record === undefined) return 'lost'
  const { state } = record
  const owner = hexOf(record.claimId)
  if (state === FREE) return update.op === 'release' && owner === mark ? 'ok' : 'lost'
  if (owner !== update.claimId) return 'lost'
  if (state === DONE) return update.op === 'complete' ? 'ok' : 'lost'
  return update.op === 'renew' ? 'ok' : undefined
}

/** The record as people see it. */
export function shown(record: RecordDocument): StoredRecord {
  const { state, epoch, attempts, leaseRemainingMs, expiresInMs, fingerprint, label, result } = record
  return {
    state: STATE_NAMES[state],
    epoch,
    attempts,
    leaseRemainingMs: state === RUNNING ? leaseRemainingMs : 0,
    expiresInMs,
    fingerprint: hexOrNone(fingerprint),
    label,
    result,
  }
}

/** Bytes as hexadecimal digits. */
export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

function hexOrNone(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : hexOf(bytes)
}
