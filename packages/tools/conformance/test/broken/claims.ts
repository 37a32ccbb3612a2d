import type { ClaimAnswer, ClaimRequest, ClaimUpdate, UpdateAnswer } from '@oncemq/core/store'
import { type MapRecord, MapStore } from '../map-store.ts'
import type { BrokenStore } from './broken-store.ts'

/** Claims, owners, epochs and attempts that go wrong. */
export const brokenClaims: readonly BrokenStore[] = [
  {
    fault: 'grants what runs',
    caughtBy: ['claim', 'concurrency'],
    Store: class extends MapStore {
      override isLeaseOver(): boolean {
        return true
      }
    },
  },
  {
    fault: 'reads, waits, then writes: two that ask at once both get it',
    caughtBy: ['concurrency'],
    Store: class extends MapStore {
      override async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
        const free = batch.map(({ id }) => this.record(id) === undefined)
        await new Promise(setImmediate)
        return batch.map((request, at) =>
          free[at] ? this.grant(undefined, request) : this.claimOne(request),
        )
      }
    },
  },
  {
    fault: 'ignores the claim id on update',
    caughtBy: ['ownership'],
    Store: class extends MapStore {
      override isOwned(): boolean {
        return true
      }
    },
  },
  {
    fault: 'extends the lease on a foreign renewal and answers lost',
    caughtBy: ['ownership'],
    Store: class extends MapStore {
      override updateOne(update: ClaimUpdate): UpdateAnswer {
        const found = this.record(update.id)
        if (found && update.op === 'renew') this.renew(found, 2 * update.leaseMs, update.retentionMs)
        return super.updateOne(update)
      }
    },
  },
  {
    fault: 'makes a record for an update of an unknown id',
    caughtBy: ['ownership'],
    Store: class extends MapStore {
      override updateOne(update: ClaimUpdate): UpdateAnswer {
        if (this.record(update.id) === undefined) {
          const { id, claimId } = update
          const unnamed = { fingerprint: undefined, label: undefined }
          this.grant(undefined, { id, claimId: `not ${claimId}`, leaseMs: 1, retentionMs: 1, ...unnamed })
        }
        return super.updateOne(update)
      }
    },
  },
  {
    fault: 'renews and releases what is done',
    caughtBy: ['ownership'],
    Store: class extends MapStore {
      override updateOne(update: ClaimUpdate): UpdateAnswer {
        const found = this.record(update.id)
        if (found?.state === 'done' && found.claimId === update.claimId && update.op !== 'complete') {
          found.state = 'running'
        }
        return super.updateOne(update)
      }
    },
  },
  {
    fault: 'answers lost to a completion that is repeated',
    caughtBy: ['idempotence'],
    Store: class extends MapStore {
      override completeAgain(): UpdateAnswer {
        return 'lost'
      }
    },
  },
  {
    fault: 'answers busy to a claim that is repeated',
    caughtBy: ['idempotence', 'claim'],
    Store: class extends MapStore {
      override isRepeated(): boolean {
        return false
      }
    },
  },
  {
    fault: 'counts a repeated claim as a new grant',
    caughtBy: ['idempotence'],
    Store: class extends MapStore {
      override grantAgain(found: MapRecord, request: ClaimRequest): ClaimAnswer {
        return this.grant(found, request)
      }
    },
  },
  {
    fault: 'loses the epoch on release',
    caughtBy: ['claim', 'attempts'],
    Store: class extends MapStore {
      override release(id: string, found: MapRecord, retentionMs: number, attempts: number): void {
        super.release(id, found, retentionMs, attempts)
        found.epoch = 0
      }
    },
  },
  {
    fault: 'deletes on release',
    caughtBy: ['claim', 'retention'],
    Store: class extends MapStore {
      override release(id: string): void {
        this.database.records.delete(id)
      }
    },
  },
  {
    fault: 'keeps counting attempts after done',
    caughtBy: ['attempts'],
    Store: class extends MapStore {
      override attemptOf(found: MapRecord | undefined): number {
        return (found?.attempts ?? 0) + 1
      }
    },
  },
  {
    fault: 'ignores what a release says of the attempts',
    caughtBy: ['attempts'],
    Store: class extends MapStore {
      override release(id: string, found: MapRecord, retentionMs: number): void {
        super.release(id, found, retentionMs, found.attempts)
      }
    },
  },
  {
    fault: 'begins the attempts anew with each take-over',
    caughtBy: ['attempts'],
    Store: class extends MapStore {
      override attemptOf(found: MapRecord | undefined): number {
        return found?.state === 'free' ? found.attempts + 1 : 1
      }
    },
  },
  {
    fault: 'counts epochs from 0',
    caughtBy: ['claim'],
    Store: class extends MapStore {
      override epochOf(found: MapRecord | undefined): number {
        return found === undefined ? 0 : super.epochOf(found)
      }
    },
  },
  {
    fault: 'throws when it forgets what is not there',
    caughtBy: ['idempotence', 'inspect and forget'],
    Store: class extends MapStore {
      override async forget(ids: readonly string[]): Promise<void> {
        if (ids.some((id) => this.record(id) === undefined)) throw new Error('not found')
        await super.forget(ids)
      }
    },
  },
]
