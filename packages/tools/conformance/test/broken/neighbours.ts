import type { ClaimAnswer, ClaimRequest, ClaimUpdate, UpdateAnswer } from '@oncemq/core/store'
import { StoreError } from '@oncemq/core/store'
import { MapStore } from '../map-store.ts'
import type { BrokenStore } from './broken-store.ts'

/** Batches in which one entry's fault becomes its neighbours', or goes unnoticed. */
export const brokenNeighbours: readonly BrokenStore[] = [
  {
    fault: 'is down for all because of one foreign value',
    caughtBy: ['neighbours'],
    Store: class extends MapStore {
      override foreignError(): StoreError {
        return new StoreError('ONCEMQ_STORE_UNAVAILABLE', 'MapStore: the driver failed')
      }
    },
  },
  {
    fault: 'grants what is no record',
    caughtBy: ['neighbours'],
    Store: class extends MapStore {
      override claimOne(request: ClaimRequest): ClaimAnswer {
        this.database.foreign.delete(request.id)
        return super.claimOne(request)
      }
    },
  },
  {
    fault: 'loses the updates beside a foreign value',
    caughtBy: ['neighbours'],
    Store: class extends MapStore {
      override async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
        const isSpoiled = batch.some(({ id }) => this.database.foreign.has(id))
        return isSpoiled ? batch.map(() => 'lost') : super.update(batch)
      }
    },
  },
  {
    fault: 'cannot forget what is no record',
    caughtBy: ['neighbours'],
    Store: class extends MapStore {
      override async forget(ids: readonly string[]): Promise<void> {
        for (const id of ids) this.database.records.delete(id)
      }
    },
  },
]
