import type { ClaimAnswer, ClaimRequest, ClaimUpdate, StoredRecord, UpdateAnswer } from '@oncemq/core/store'
import { type MapRecord, MapStore } from '../map-store.ts'
import type { BrokenStore } from './broken-store.ts'

/** Ids, labels, results and batches that go wrong. */
export const brokenContents: readonly BrokenStore[] = [
  {
    fault: 'loses the result',
    caughtBy: ['fingerprints and results'],
    Store: class extends MapStore {
      override kept(): undefined {
        return undefined
      }
    },
  },
  {
    fault: 'takes an empty result for none',
    caughtBy: ['fingerprints and results'],
    Store: class extends MapStore {
      override kept(result: Uint8Array | undefined): Uint8Array | undefined {
        return result?.length ? new Uint8Array(result) : undefined
      }
    },
  },
  {
    fault: 'keeps a result as text',
    caughtBy: ['fingerprints and results'],
    Store: class extends MapStore {
      override kept(result: Uint8Array | undefined): Uint8Array | undefined {
        return result && Buffer.from(Buffer.from(result).toString('utf8'))
      }
    },
  },
  {
    fault: "keeps the caller's buffer instead of a copy",
    caughtBy: ['fingerprints and results'],
    Store: class extends MapStore {
      override kept(result: Uint8Array | undefined): Uint8Array | undefined {
        return result
      }
    },
  },
  {
    fault: 'keeps the fingerprint of the first claim',
    caughtBy: ['fingerprints and results'],
    Store: class extends MapStore {
      override grant(found: MapRecord | undefined, request: ClaimRequest): ClaimAnswer {
        return super.grant(found, { ...request, fingerprint: found?.fingerprint ?? request.fingerprint })
      }
    },
  },
  {
    fault: 'trims labels',
    caughtBy: ['hostile labels'],
    Store: class extends MapStore {
      override grant(found: MapRecord | undefined, request: ClaimRequest): ClaimAnswer {
        return super.grant(found, { ...request, label: request.label?.trim() })
      }
    },
  },
  {
    fault: 'normalises labels',
    caughtBy: ['hostile labels'],
    Store: class extends MapStore {
      override grant(found: MapRecord | undefined, request: ClaimRequest): ClaimAnswer {
        return super.grant(found, { ...request, label: request.label?.normalize('NFC') })
      }
    },
  },
  {
    fault: 'truncates ids',
    caughtBy: ['ids'],
    Store: class extends MapStore {
      override keyOf(id: string): string {
        return id.slice(0, 31)
      }
    },
  },
  {
    fault: 'compares ids as numbers',
    caughtBy: ['ids'],
    Store: class extends MapStore {
      override keyOf(id: string): string {
        return Number.isNaN(Number(id)) ? id : String(Number(id))
      }
    },
  },
  {
    fault: 'truncates claim ids',
    caughtBy: ['ids'],
    Store: class extends MapStore {
      override isOwned(found: MapRecord, { claimId }: ClaimUpdate): boolean {
        return found.claimId.slice(0, 24) === claimId.slice(0, 24)
      }
    },
  },
  {
    fault: 'answers claims in the order of their ids',
    caughtBy: ['batches'],
    Store: class extends MapStore {
      override async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
        return super.claim(batch.toSorted((a, b) => (a.id < b.id ? -1 : 1)))
      }
    },
  },
  {
    fault: 'answers all updates as the first',
    caughtBy: ['batches'],
    Store: class extends MapStore {
      override async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
        const answers = await super.update(batch)
        return answers.map(() => answers[0] ?? 'lost')
      }
    },
  },
  {
    fault: 'gives every completion of a batch the result of the first',
    caughtBy: ['batches'],
    Store: class extends MapStore {
      override async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
        const first = batch.find((update) => update.op === 'complete')
        const same = batch.map((update) =>
          update.op === 'complete' && first ? { ...update, result: first.result } : update,
        )
        return super.update(same)
      }
    },
  },
  {
    fault: 'leaves out ids without a record when it inspects',
    caughtBy: ['batches'],
    Store: class extends MapStore {
      override async inspect(ids: readonly string[]): Promise<readonly (StoredRecord | undefined)[]> {
        const records = await super.inspect(ids)
        return ids.length === 1 ? records : records.filter((record) => record !== undefined)
      }
    },
  },
  {
    fault: 'keeps fingerprints as numbers',
    caughtBy: ['fingerprints and results'],
    Store: class extends MapStore {
      override grant(found: MapRecord | undefined, request: ClaimRequest): ClaimAnswer {
        const digits = request.fingerprint
        return super.grant(found, { ...request, fingerprint: digits && BigInt(`0x${digits}`).toString(16) })
      }
    },
  },
  {
    fault: 'gives every claim of a batch the lease of the first',
    caughtBy: ['batches'],
    Store: class extends MapStore {
      override async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
        const [first] = batch
        return super.claim(first ? batch.map((request) => ({ ...request, leaseMs: first.leaseMs })) : batch)
      }
    },
  },
  {
    fault: 'keeps the batch in a field, which the next call writes over',
    caughtBy: ['batches'],
    Store: class extends MapStore {
      #batch: readonly ClaimRequest[] = []

      override async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
        this.#batch = batch
        await Promise.resolve()
        return this.#batch.map((request) => this.claimOne(request))
      }
    },
  },
]
