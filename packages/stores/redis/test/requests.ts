import { randomBytes } from 'node:crypto'
import type { ClaimAnswer, ClaimRequest, CompleteUpdate, Store } from '@oncemq/core'

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

/** Claims, claims again, completes and claims once more; answers the four statuses. */
export async function lifeOf(store: Store, claim: ClaimRequest = claimOf()): Promise<string[]> {
  const status = async (request: ClaimRequest): Promise<string> =>
    (await store.claim([request]))[0]?.status ?? 'nothing'
  const rival = { ...claim, claimId: newHex() }
  return [
    await status(claim),
    await status(rival),
    String((await store.update([completionOf(claim)]))[0]),
    await status(rival),
  ]
}

export const LIFE = ['granted', 'busy', 'ok', 'done']

export function statusesOf(answers: readonly ClaimAnswer[]): string[] {
  return answers.map(({ status }) => status)
}
