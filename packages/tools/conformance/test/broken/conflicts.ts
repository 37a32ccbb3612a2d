import type { ClaimAnswer, ClaimRequest } from '@oncemq/core/store'
import { type MapRecord, MapStore } from '../map-store.ts'
import type { BrokenStore } from './broken-store.ts'

/** Conflicts of payloads that go wrong. */
export const brokenConflicts: readonly BrokenStore[] = [
  {
    fault: 'lets another payload use up the attempts of what runs or is free',
    caughtBy: ['conflict', 'model'],
    Store: class extends MapStore {
      override isOfAnother(): boolean {
        return false
      }
    },
  },
  {
    fault: 'lets another payload in as soon as the lease is over',
    caughtBy: ['conflict'],
    Store: class extends MapStore {
      override isOfAnother(found: MapRecord, request: ClaimRequest, nowMs: number): boolean {
        return !this.isLeaseOver(found, nowMs) && super.isOfAnother(found, request, nowMs)
      }
    },
  },
  {
    fault: 'keeps a payload for ever',
    caughtBy: ['conflict'],
    Store: class extends MapStore {
      override isOfAnother(found: MapRecord, request: ClaimRequest): boolean {
        return super.isOfAnother(found, request, 0)
      }
    },
  },
  {
    fault: 'takes a payload that is not known for another one',
    caughtBy: ['conflict', 'model'],
    Store: class extends MapStore {
      override isOfAnother(found: MapRecord, { fingerprint }: ClaimRequest): boolean {
        return found.state !== 'done' && found.fingerprint !== fingerprint
      }
    },
  },
  {
    fault: 'prolongs a record by a conflict',
    caughtBy: ['conflict'],
    Store: class extends MapStore {
      override isOfAnother(found: MapRecord, request: ClaimRequest, nowMs: number): boolean {
        const isOther = super.isOfAnother(found, request, nowMs)
        if (isOther) found.expiresAtMs += request.retentionMs
        return isOther
      }
    },
  },
  {
    fault: 'answers conflict to its own claim, repeated',
    caughtBy: ['conflict'],
    Store: class extends MapStore {
      override claimOne(request: ClaimRequest): ClaimAnswer {
        const found = this.record(request.id)
        const isOther = found !== undefined && this.isOfAnother(found, request, this.clock.nowMs())
        return isOther ? { status: 'conflict' } : super.claimOne(request)
      }
    },
  },
]
