import type { ClaimAnswer, ClaimUpdate, CompleteUpdate } from '@oncemq/core/store'
import { type MapRecord, MapStore } from '../map-store.ts'
import type { BrokenStore } from './broken-store.ts'

/** Leases, retentions and sweeps that go wrong. */
export const brokenTimes: readonly BrokenStore[] = [
  {
    fault: 'takes over before the end of the lease',
    caughtBy: ['lease'],
    Store: class extends MapStore {
      override isLeaseOver(found: MapRecord, nowMs: number): boolean {
        return found.leaseUntilMs <= nowMs + 50
      }
    },
  },
  {
    fault: 'holds a claim at the very end of its lease',
    caughtBy: ['lease'],
    Store: class extends MapStore {
      override isLeaseOver(found: MapRecord, nowMs: number): boolean {
        return found.leaseUntilMs < nowMs
      }
    },
  },
  {
    fault: 'never takes over: a crashed worker wedges its keys',
    caughtBy: ['lease', 'ownership'],
    Store: class extends MapStore {
      override isLeaseOver(): boolean {
        return false
      }
    },
  },
  {
    fault: 'refuses the owner after the end of the lease',
    caughtBy: ['lease'],
    Store: class extends MapStore {
      override isOwned(found: MapRecord, { claimId }: ClaimUpdate): boolean {
        const over = found.state === 'running' && found.leaseUntilMs <= this.clock.nowMs()
        return found.claimId === claimId && !over
      }
    },
  },
  {
    fault: 'leaves the lease of a repeated claim as it was',
    caughtBy: ['lease'],
    Store: class extends MapStore {
      override grantAgain(found: MapRecord): ClaimAnswer {
        return { status: 'granted', epoch: found.epoch, attempt: found.attempts }
      }
    },
  },
  {
    fault: 'begins the epoch anew after done',
    caughtBy: ['retention', 'attempts'],
    Store: class extends MapStore {
      override epochOf(found: MapRecord | undefined): number {
        return found?.state === 'done' ? 1 : super.epochOf(found)
      }
    },
  },
  {
    fault: 'has one TTL for lease and retention: the lease ends what is done',
    caughtBy: ['retention'],
    Store: class extends MapStore {
      override isRetentionOver(found: MapRecord, nowMs: number): boolean {
        return found.leaseUntilMs <= nowMs
      }
    },
  },
  {
    fault: 'has one TTL for lease and retention: a running record goes with its lease',
    caughtBy: ['lease', 'sweeping'],
    Store: class extends MapStore {
      override record(id: string): MapRecord | undefined {
        const found = super.record(id)
        const gone = found?.state === 'running' && found.leaseUntilMs <= this.clock.nowMs()
        return gone ? undefined : found
      }
    },
  },
  {
    fault: 'never ends what is done',
    caughtBy: ['retention'],
    Store: class extends MapStore {
      override isRetentionOver(): boolean {
        return false
      }
    },
  },
  {
    fault: 'keeps what is done by the retention of its claim',
    caughtBy: ['retention'],
    Store: class extends MapStore {
      override complete(found: MapRecord, update: CompleteUpdate): void {
        const { expiresAtMs } = found
        super.complete(found, update)
        found.expiresAtMs = expiresAtMs
      }
    },
  },
  {
    fault: 'keeps a retention in 32 bits of milliseconds',
    caughtBy: ['retention'],
    Store: class extends MapStore {
      override complete(found: MapRecord, update: CompleteUpdate): void {
        super.complete(found, { ...update, retentionMs: update.retentionMs | 0 })
      }
    },
  },
  {
    fault: 'sweeps what runs when its lease is over',
    caughtBy: ['sweeping'],
    Store: class extends MapStore {
      override isSwept(found: MapRecord, nowMs: number): boolean {
        return found.state === 'running' ? found.leaseUntilMs <= nowMs : super.isSwept(found, nowMs)
      }
    },
  },
  {
    fault: 'sweeps without a limit',
    caughtBy: ['sweeping'],
    Store: class extends MapStore {
      override async sweep(): Promise<number> {
        return super.sweep(Infinity)
      }
    },
  },
  {
    fault: 'sweeps by what it read before: a grant since then goes too',
    caughtBy: ['sweeping'],
    Store: class extends MapStore {
      override async sweep(limit: number): Promise<number> {
        const nowMs = this.clock.nowMs()
        const expired = [...this.database.records]
          .filter(([, record]) => this.isSwept(record, nowMs))
          .slice(0, limit)
        await new Promise(setImmediate)
        return expired.filter(([id]) => this.database.records.delete(id)).length
      }
    },
  },
  {
    fault: 'lets a running record expire at the end of its retention, whatever its lease',
    caughtBy: ['claim'],
    Store: class extends MapStore {
      override renew(found: MapRecord, leaseMs: number, retentionMs: number): void {
        super.renew(found, leaseMs, retentionMs)
        found.expiresAtMs -= leaseMs
      }
    },
  },
  {
    fault: 'says that it swept something when nothing has expired',
    caughtBy: ['sweeping'],
    Store: class extends MapStore {
      override async sweep(limit: number): Promise<number> {
        return Math.max(1, await super.sweep(limit))
      }
    },
  },
]
