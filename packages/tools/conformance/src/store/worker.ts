import type { ClaimAnswer, ClaimRequest, StoredRecord, UpdateAnswer } from '@oncemq/core/store'
import type { Store } from '@oncemq/core'
import { only } from './answers.ts'

/** Long enough never to end while a test runs. */
export const LONG_MS = 3_600_000

/** One process that uses a store, a record at a time. It names a claim by the request that asked for it. */
export class StoreWorker {
  readonly store: Store

  constructor(store: Store) {
    this.store = store
  }

  async claim(request: ClaimRequest): Promise<ClaimAnswer> {
    return only(await this.store.claim([request]))
  }

  async renew(claim: ClaimRequest, leaseMs: number = LONG_MS): Promise<UpdateAnswer> {
    const { id, claimId } = claim
    return only(await this.store.update([{ op: 'renew', id, claimId, leaseMs, retentionMs: LONG_MS }]))
  }

  async complete(
    claim: ClaimRequest,
    { result, retentionMs = LONG_MS }: { result?: Uint8Array | undefined; retentionMs?: number } = {},
  ): Promise<UpdateAnswer> {
    const { id, claimId } = claim
    return only(await this.store.update([{ op: 'complete', id, claimId, retentionMs, result }]))
  }

  async release(claim: ClaimRequest, attempts = 1, retentionMs: number = LONG_MS): Promise<UpdateAnswer> {
    const { id, claimId } = claim
    return only(await this.store.update([{ op: 'release', id, claimId, retentionMs, attempts }]))
  }

  async inspect(id: string): Promise<StoredRecord | undefined> {
    return only(await this.store.inspect([id]))
  }

  async forget(id: string): Promise<void> {
    await this.store.forget([id])
  }
}
