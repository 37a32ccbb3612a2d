import { randomBytes } from 'node:crypto'
import type { ClaimRequest, CompleteUpdate } from '@oncemq/core/store'

const LEASE_MS = 60_000
const RETENTION_MS = 600_000

export function newHex(): string {
  return randomBytes(16).toString('hex')
}

/** A claim of a new id, or of the given one. */
export function claimOf(given: Partial<ClaimRequest> = {}): ClaimRequest {
  return {
    id: newHex(),
    claimId: newHex(),
    leaseMs: LEASE_MS,
    retentionMs: RETENTION_MS,
    fingerprint: undefined,
    label: undefined,
    ...given,
  }
}

export function claimsOf(count: number, given: Partial<ClaimRequest> = {}): ClaimRequest[] {
  return Array.from({ length: count }, () => claimOf(given))
}

/** The completion of what this claim was granted. */
export function completionOf({ id, claimId, retentionMs }: ClaimRequest): CompleteUpdate {
  return { op: 'complete', id, claimId, retentionMs, result: undefined }
}
