import { setTimeout as wait } from 'node:timers/promises'
import type { ClaimAnswer, ClaimRequest, ClaimUpdate, UpdateAnswer } from '@oncemq/core/store'
import { StoreError } from '@oncemq/core/store'
import { MapStore } from '../map-store.ts'
import type { BrokenStore } from './broken-store.ts'

const LONG_WAIT_MS = 2600
const EACH_WAIT_MS = 140

/** Stores that records of open transactions get in the way of. */
export const brokenLocks: readonly BrokenStore[] = [
  {
    fault: 'fails for all because of one locked record',
    caughtBy: ['locks'],
    Store: class extends MapStore {
      override lockedAnswer(request: ClaimRequest): ClaimAnswer | undefined {
        if (super.lockedAnswer(request) !== undefined) throw this.lockedError()
        return undefined
      }
    },
  },
  {
    fault: 'takes a locked record over',
    caughtBy: ['locks'],
    Store: class extends MapStore {
      override lockedAnswer(): ClaimAnswer | undefined {
        return undefined
      }
    },
  },
  {
    fault: 'waits long for a locked record',
    caughtBy: ['locks'],
    Store: class extends MapStore {
      override async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
        if (batch.some((request) => this.lockedAnswer(request))) await wait(LONG_WAIT_MS)
        return super.claim(batch)
      }
    },
  },
  {
    fault: 'waits a little for a locked record, each time',
    caughtBy: ['locks'],
    Store: class extends MapStore {
      override async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
        if (batch.some((request) => this.lockedAnswer(request))) await wait(EACH_WAIT_MS)
        return super.claim(batch)
      }
    },
  },
  {
    fault: 'calls all busy that stand beside a locked record',
    caughtBy: ['locks'],
    Store: class extends MapStore {
      override async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
        const busy = batch.map((request) => this.lockedAnswer(request)).find((answer) => answer !== undefined)
        return busy === undefined ? super.claim(batch) : batch.map(() => busy)
      }
    },
  },
  {
    fault: 'is down for updates of a locked record',
    caughtBy: ['locks'],
    Store: class extends MapStore {
      override lockedError(): StoreError {
        return new StoreError('ONCEMQ_STORE_UNAVAILABLE', 'MapStore: the driver failed')
      }
    },
  },
  {
    fault: 'loses updates of a locked record',
    caughtBy: ['locks'],
    Store: class extends MapStore {
      override async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
        const isLocked = batch.some(({ id }) => this.database.locked.has(id))
        return isLocked ? batch.map(() => 'lost') : super.update(batch)
      }
    },
  },
]
