import type { ClaimAnswer, ClaimRequest, UpdateAnswer } from '@oncemq/core/store'

/** A record as the model knows it. Time is only this: whether its lease, or its retention, is over. */
export interface ModelRecord {
  state: 'running' | 'done' | 'free'
  claimId: string
  epoch: number
  attempts: number
  over: boolean
  fingerprint: string | undefined
  label: string | undefined
  result: Uint8Array | undefined
}

/** What a claim must be answered; a lease's rest is not part of it. */
export type ModelAnswer =
  | Extract<ClaimAnswer, { status: 'granted' | 'done' }>
  | { readonly status: 'conflict' }
  | { readonly status: 'busy'; readonly epoch: number }

/** The protocol on a plain map, one call at a time: what every store is compared with. */
export class StoreModel {
  readonly records = new Map<string, ModelRecord>()

  claim(request: ClaimRequest, over: boolean): ModelAnswer {
    const { id, claimId, fingerprint, label } = request
    const found = this.records.get(id)
    if (found?.state === 'running' && found.claimId === claimId) {
      found.over = over
      return { status: 'granted', epoch: found.epoch, attempt: found.attempts }
    }
    if (found?.state === 'done' && !found.over) {
      return { status: 'done', fingerprint: found.fingerprint, result: found.result }
    }
    // Only done records expire while a schedule runs.
    if (found !== undefined && found.state !== 'done' && isOther(found.fingerprint, fingerprint)) {
      return { status: 'conflict' }
    }
    if (found?.state === 'running' && !found.over) return { status: 'busy', epoch: found.epoch }
    const epoch = (found?.epoch ?? 0) + 1
    const attempts = found === undefined || found.state === 'done' ? 1 : found.attempts + 1
    this.records.set(id, {
      state: 'running',
      claimId,
      epoch,
      attempts,
      over,
      fingerprint,
      label,
      result: undefined,
    })
    return { status: 'granted', epoch, attempt: attempts }
  }

  renew(id: string, claimId: string, over: boolean): UpdateAnswer {
    const found = this.#owned(id, claimId)
    if (found === undefined) return 'lost'
    found.over = over
    return 'ok'
  }

  complete(id: string, claimId: string, result: Uint8Array | undefined, over: boolean): UpdateAnswer {
    const found = this.records.get(id)
    if (found?.state === 'done' && found.claimId === claimId) return 'ok'
    if (this.#owned(id, claimId) === undefined || found === undefined) return 'lost'
    Object.assign(found, { state: 'done', result, over })
    return 'ok'
  }

  release(id: string, claimId: string, attempts: number): UpdateAnswer {
    const found = this.#owned(id, claimId)
    if (found === undefined) return 'lost'
    Object.assign(found, { state: 'free', attempts, over: false })
    return 'ok'
  }

  forget(id: string): void {
    this.records.delete(id)
  }

  /** Only done records are given a retention that ends while a schedule runs. */
  sweep(): number {
    const expired = [...this.records].filter(([, { state, over }]) => state === 'done' && over)
    for (const [id] of expired) this.records.delete(id)
    return expired.length
  }

  #owned(id: string, claimId: string): ModelRecord | undefined {
    const found = this.records.get(id)
    return found?.state === 'running' && found.claimId === claimId ? found : undefined
  }
}

function isOther(known: string | undefined, given: string | undefined): boolean {
  return known !== undefined && given !== undefined && known !== given
}
