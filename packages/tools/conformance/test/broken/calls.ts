import type { ClaimAnswer, ClaimRequest, StoredRecord } from '@oncemq/core/store'
import { newClaim } from '../../src/store/requests.ts'
import { type MapRecord, MapStore } from '../map-store.ts'
import type { BrokenStore } from './broken-store.ts'

/** Operators' calls, opening and closing that go wrong. */
export const brokenCalls: readonly BrokenStore[] = [
  {
    fault: 'takes over what it only inspects',
    caughtBy: ['inspect and forget'],
    Store: class extends MapStore {
      override inspectOne(id: string): StoredRecord | undefined {
        const record = super.inspectOne(id)
        const found = this.record(id)
        if (found?.state === 'running' && found.leaseUntilMs <= this.clock.nowMs()) found.state = 'free'
        return record
      }
    },
  },
  {
    fault: 'frees a record instead of forgetting it',
    caughtBy: ['inspect and forget'],
    Store: class extends MapStore {
      override async forget(ids: readonly string[]): Promise<void> {
        for (const id of ids) {
          const found = this.record(id)
          if (found) found.state = 'free'
        }
      }
    },
  },
  {
    fault: 'forgets all records when it opens',
    caughtBy: ['open and close'],
    Store: class extends MapStore {
      override async open() {
        this.database.records.clear()
        return []
      }
    },
  },
  {
    fault: 'cannot be used after it was closed and opened again',
    caughtBy: ['open and close'],
    Store: class extends MapStore {
      #closed = false

      override async close(): Promise<void> {
        this.#closed = true
      }

      override async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
        if (this.#closed) throw new Error('closed')
        return super.claim(batch)
      }
    },
  },
  {
    fault: 'forgets on close what it calls durable',
    caughtBy: ['open and close'],
    Store: class extends MapStore {
      override async close(): Promise<void> {
        for (const [id, { state }] of this.database.records) {
          if (state === 'free') this.database.records.delete(id)
        }
      }
    },
  },
  {
    fault: 'is called transactional without a transaction method',
    caughtBy: ['guarantees', 'transactions'],
    Store: class extends MapStore {
      constructor(...given: ConstructorParameters<typeof MapStore>) {
        super(...given)
        Object.assign(this, { transaction: undefined })
      }
    },
  },
  {
    fault: 'makes a record of what it inspects',
    caughtBy: ['inspect and forget'],
    Store: class extends MapStore {
      override inspectOne(id: string): StoredRecord | undefined {
        const record = super.inspectOne(id)
        if (record === undefined) this.grant(undefined, newClaim({ id, leaseMs: 1 }))
        return record
      }
    },
  },
  {
    fault: 'forgets more than it was asked to',
    caughtBy: ['inspect and forget'],
    Store: class extends MapStore {
      override async forget(): Promise<void> {
        this.database.records.clear()
      }
    },
  },
  {
    fault: 'fails when two handles open at once',
    caughtBy: ['open and close'],
    Store: class extends MapStore {
      override async open() {
        const { records } = this.database
        if (records.has('opening')) throw new Error('the table exists')
        const record = { epoch: 0 } as MapRecord
        records.set('opening', record)
        await Promise.resolve()
        records.delete('opening')
        return []
      }
    },
  },
  {
    fault: 'closes the client that its handles share',
    caughtBy: ['open and close'],
    Store: class extends MapStore {
      override async close(): Promise<void> {
        this.database.records = new Map()
      }
    },
  },
  {
    fault: 'says nothing of its expiry granularity',
    caughtBy: ['guarantees'],
    Store: class extends MapStore {
      constructor(...given: ConstructorParameters<typeof MapStore>) {
        super(...given)
        Object.assign(this.guarantees, { expiryGranularityMs: undefined })
      }
    },
  },
  {
    fault: 'finds something wrong and gives no remedy',
    caughtBy: ['guarantees'],
    Store: class extends MapStore {
      override async open() {
        return [{ severity: 'warning' as const, code: 'map', found: 'It is a map.', remedy: '' }]
      }
    },
  },
]
