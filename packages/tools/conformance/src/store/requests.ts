import { randomBytes } from 'node:crypto'
import type { ClaimRequest } from '@oncemq/core/store'
import { LONG_MS } from './worker.ts'

/** A request for a new id, with a lease and a retention that do not end while the case runs. */
export function newClaim(fields: Partial<ClaimRequest> = {}): ClaimRequest {
  return {
    id: newHex(),
    claimId: newHex(),
    leaseMs: LONG_MS,
    retentionMs: LONG_MS,
    fingerprint: undefined,
    label: undefined,
    ...fields,
  }
}

/** Another delivery of the same message. */
export function rivalOf(claim: ClaimRequest, fields: Partial<ClaimRequest> = {}): ClaimRequest {
  return newClaim({ id: claim.id, ...fields })
}

export function newClaims(count: number): ClaimRequest[] {
  return Array.from({ length: count }, () => newClaim())
}

/** 128 random bits as an id, a claim id or a fingerprint is written. */
export function newHex(): string {
  return randomBytes(16).toString('hex')
}
