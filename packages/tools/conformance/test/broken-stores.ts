import type {
  ClaimAnswer,
  ClaimRequest,
  ClaimUpdate,
  CompleteUpdate,
  StoredRecord,
  UpdateAnswer,
} from '@oncemq/core'
import { type MapRecord, MapStore } from './map-store.ts'

/** A store that is wrong in one way, and the properties whose cases must notice it. */
export interface BrokenStore {
  readonly fault: string
  readonly caughtBy: readonly string[]
  readonly Store: typeof MapStore
}

export const brokenStores: readonly BrokenStore[] = [
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
    fault: 'leaves the lease of a repeated claim as it was',
    caughtBy: ['lease'],
    Store: class extends MapStore {
      override grantAgain(found: MapRecord): ClaimAnswer {
        return { status: 'granted', epoch: found.epoch, attempt: found.attempts }
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
    fault: 'begins the epoch anew after done',
    caughtBy: ['retention', 'attempts'],
    Store: class extends MapStore {
      override epochOf(found: MapRecord | undefined): number {
        return found?.state === 'done' ? 1 : super.epochOf(found)
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
        return await super.claim(batch.toSorted((a, b) => (a.id < b.id ? -1 : 1)))
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
        return await super.update(same)
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
        return await super.claim(batch)
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
        return await super.sweep(Infinity)
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
    fault: 'commits the writes when the claim is lost',
    caughtBy: ['transactions'],
    Store: class extends MapStore {
      override async transaction(work: (tx: string[]) => Promise<CompleteUpdate>): Promise<UpdateAnswer> {
        const answer = this.updateOne(await work(this.database.rows))
        return answer
      }
    },
  },
  {
    fault: 'commits the completion before the work',
    caughtBy: ['transactions'],
    Store: class extends MapStore {
      override async transaction(work: (tx: string[]) => Promise<CompleteUpdate>): Promise<UpdateAnswer> {
        const rows: string[] = []
        const update = await work(rows)
        if (this.updateOne({ ...update, claimId: this.record(update.id)?.claimId ?? '' }) === 'lost')
          return 'lost'
        this.database.rows.push(...rows)
        return 'ok'
      }
    },
  },
  {
    fault: 'wraps what the work throws',
    caughtBy: ['transactions'],
    Store: class extends MapStore {
      override async transaction(work: (tx: string[]) => Promise<CompleteUpdate>): Promise<UpdateAnswer> {
        try {
          return await super.transaction(work)
        } catch (cause) {
          throw new Error('the transaction failed', { cause })
        }
      }
    },
  },
  {
    fault: 'commits the writes again when a committed transaction is repeated',
    caughtBy: ['transactions'],
    Store: class extends MapStore {
      override async transaction(work: (tx: string[]) => Promise<CompleteUpdate>): Promise<UpdateAnswer> {
        const rows: string[] = []
        const answer = this.updateOne(await work(rows))
        if (answer === 'ok') this.database.rows.push(...rows)
        return answer
      }
    },
  },
  {
    fault: 'rolls back what other calls did while a transaction ran',
    caughtBy: ['transactions'],
    Store: class extends MapStore {
      override async transaction(work: (tx: string[]) => Promise<CompleteUpdate>): Promise<UpdateAnswer> {
        const before = structuredClone(this.database.records)
        try {
          return await super.transaction(work)
        } catch (error) {
          this.database.records = before
          throw error
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
]
