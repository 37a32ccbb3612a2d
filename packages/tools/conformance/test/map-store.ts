import type {
  BatchingStore,
  ClaimAnswer,
  ClaimRequest,
  ClaimUpdate,
  Clock,
  CompleteUpdate,
  Finding,
  LogRequest,
  LogStore,
  LogTaken,
  LogUpdate,
  NextMember,
  StoredRecord,
  SweepingStore,
  TransactionEnd,
  TransactionMember,
  UpdateAnswer,
} from '@oncemq/core/store'
import type { Revocable, StoreError } from '@oncemq/core/store'
import { partsOf, revocable, storeError, untilAborted } from '@oncemq/core/store'
import { MapLogs, type MapLog } from './map-logs.ts'

export interface MapRecord {
  state: 'running' | 'done' | 'free'
  claimId: string
  epoch: number
  attempts: number
  leaseUntilMs: number
  expiresAtMs: number
  fingerprint: string | undefined
  label: string | undefined
  result: Uint8Array | undefined
}

/** A namespace's records and the rows of its user's own table: what outlives a handle. */
export class MapDatabase {
  records = new Map<string, MapRecord>()
  logs = new Map<string, MapLog>()
  rows: string[] = []
  /** Ids in whose place something of somebody else stands. */
  readonly foreign = new Set<string>()
  /** Ids whose records are in an open transaction of somebody else. */
  readonly locked = new Set<string>()
}

/** What a handler writes with: rows, which are there once the transaction has committed. */
export class MapTransaction {
  readonly rows: string[] = []
  readonly #database: MapDatabase
  hasEnded = false

  constructor(database: MapDatabase) {
    this.#database = database
  }

  async write(row: string): Promise<void> {
    await new Promise(setImmediate)
    ;(this.hasEnded ? this.#database.rows : this.rows).push(row)
  }

  /** What a handler is not to do. */
  commit(): void {
    this.#database.rows.push(...this.rows)
    this.hasEnded = true
  }
}

/**
 * The smallest correct store, each rule in a method of its own: the broken stores override one each. Every
 * step awaits once before it reads, so that calls of several handles interleave.
 */
export class MapStore implements SweepingStore, LogStore<MapTransaction>, BatchingStore<MapTransaction> {
  readonly name: string = 'map'
  readonly guarantees = {
    durable: true,
    sharedBy: 'process',
    transactional: true,
    renewsInTransaction: true,
    batchesTransactions: 'savepoints',
    expiryGranularityMs: 1,
  } as const
  readonly batching = { batchMax: 100, batchesInFlightMax: 2 }
  protected readonly database: MapDatabase
  protected readonly clock: Clock
  readonly logs: MapLogs

  constructor(database: MapDatabase, clock: Clock) {
    this.database = database
    this.clock = clock
    this.logs = new MapLogs(database.logs)
  }

  async open(): Promise<readonly Finding[]> {
    return []
  }

  async close(): Promise<void> {}

  async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    await Promise.resolve()
    return batch.map((request) => this.lockedAnswer(request) ?? this.claimOne(request))
  }

  async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    await Promise.resolve()
    if (batch.some(({ id }) => this.database.locked.has(id))) throw this.lockedError()
    return batch.map((update) => this.updateOne(update))
  }

  lockedAnswer({ id }: ClaimRequest): ClaimAnswer | undefined {
    if (!this.database.locked.has(id)) return undefined
    return { status: 'busy', epoch: 0, leaseRemainingMs: 1 }
  }

  lockedError(): StoreError {
    const parts = { store: 'MapStore', expected: 'an answer' }
    return storeError(parts, ['ONCEMQ_STORE_TIMEOUT', 'a record is locked', 'ask again'])
  }

  async inspect(ids: readonly string[]): Promise<readonly (StoredRecord | undefined)[]> {
    await Promise.resolve()
    return ids.map((id) => this.inspectOne(id))
  }

  async forget(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      this.database.records.delete(this.keyOf(id))
      this.database.foreign.delete(id)
    }
  }

  async sweep(limit: number): Promise<number> {
    const nowMs = this.clock.nowMs()
    const expired = [...this.database.records].filter(([, record]) => this.isSwept(record, nowMs))
    for (const [key] of expired.slice(0, limit)) this.database.records.delete(key)
    return Math.min(limit, expired.length)
  }

  async transaction(
    work: (tx: MapTransaction) => Promise<TransactionEnd>,
    signal?: AbortSignal,
  ): Promise<UpdateAnswer> {
    const tx = new MapTransaction(this.database)
    return this.end(tx, await this.handled(tx, work, signal))
  }

  /** A handler that commits commits what those before it wrote, too. */
  async transactions(next: NextMember<MapTransaction>): Promise<void> {
    const kept: (() => void)[] = []
    for (let tx, member = next(); member !== undefined; member = tx.hasEnded ? undefined : next()) {
      const { work, signal, resolve, reject } = member
      const own = (tx = new MapTransaction(this.database))
      const keep = (end: TransactionEnd): unknown => kept.push(() => resolve(this.end(own, end)))
      await this.handled(own, work, signal).then(keep, reject)
    }
    for (const commit of kept) commit()
  }

  async handled(
    tx: MapTransaction,
    work: TransactionMember<MapTransaction>['work'],
    signal?: AbortSignal,
  ): Promise<TransactionEnd> {
    const { proxy, revoke, answered } = this.lend(tx)
    try {
      const update = await this.run(() => work(proxy) as Promise<TransactionEnd>, signal)
      revoke()
      await answered()
      this.requireOpen(tx)
      return update
    } catch (error) {
      this.requireOpen(tx, error)
      throw this.failureOf(error)
    } finally {
      revoke()
    }
  }

  end(tx: MapTransaction, end: TransactionEnd): UpdateAnswer {
    const { completion, advance } = partsOf(end)
    const standing = advance === undefined ? 'before' : this.logs.standing(advance)
    if (standing !== 'before') return standing === 'there' ? 'ok' : 'lost'
    if (completion === undefined) this.database.rows.push(...tx.rows)
    else if (this.finish(tx, completion) === 'lost') return 'lost'
    if (advance !== undefined) this.logs.move(advance)
    return 'ok'
  }

  async takeLog(log: LogRequest): Promise<LogTaken> {
    await Promise.resolve()
    return this.logs.take(log)
  }

  async updateLog(update: LogUpdate): Promise<UpdateAnswer> {
    await Promise.resolve()
    return this.logs.update(update)
  }

  lend(tx: MapTransaction): Pick<Revocable<MapTransaction>, 'proxy' | 'revoke' | 'answered'> {
    return revocable(tx, { store: 'MapStore' })
  }

  run(work: () => Promise<TransactionEnd>, signal?: AbortSignal): Promise<TransactionEnd> {
    return untilAborted(work, signal)
  }

  requireOpen({ hasEnded }: MapTransaction, cause?: unknown): void {
    if (!hasEnded) return
    const parts = { store: 'MapStore', expected: 'the transaction to be open', cause }
    throw storeError(parts, ['ONCEMQ_TRANSACTION_ENDED', 'received it ended', 'leave commit to the store'])
  }

  failureOf(error: unknown): unknown {
    return error
  }

  finish({ rows }: MapTransaction, update: CompleteUpdate): UpdateAnswer {
    const repeated = this.record(update.id)?.state === 'done'
    const answer = this.updateOne(update)
    if (answer === 'ok' && !repeated) this.database.rows.push(...rows)
    return answer
  }

  claimOne(request: ClaimRequest): ClaimAnswer {
    const nowMs = this.clock.nowMs()
    const found = this.record(request.id)
    if (found?.state === 'running' && this.isRepeated(found, request)) return this.grantAgain(found, request)
    if (found?.state === 'done' && !this.isRetentionOver(found, nowMs)) {
      return { status: 'done', fingerprint: found.fingerprint, result: this.resultOf(found) }
    }
    if (found !== undefined && this.isOfAnother(found, request, nowMs)) return { status: 'conflict' }
    if (found?.state === 'running' && !this.isLeaseOver(found, nowMs)) {
      return { status: 'busy', epoch: found.epoch, leaseRemainingMs: found.leaseUntilMs - nowMs }
    }
    return this.grant(found, request)
  }

  updateOne(update: ClaimUpdate): UpdateAnswer {
    const found = this.record(update.id)
    if (found === undefined || !this.isOwned(found, update)) return 'lost'
    if (found.state === 'done' && update.op === 'complete') return this.completeAgain()
    if (found.state !== 'running') return 'lost'
    if (update.op === 'renew') this.renew(found, update.leaseMs, update.retentionMs)
    else if (update.op === 'complete') this.complete(found, update)
    else this.release(update.id, found, update.retentionMs, update.attempts)
    return 'ok'
  }

  inspectOne(id: string): StoredRecord | undefined {
    const found = this.record(id)
    if (found === undefined) return undefined
    const { claimId: _claimId, leaseUntilMs, expiresAtMs, ...fields } = found
    const nowMs = this.clock.nowMs()
    const leaseRemainingMs = found.state === 'running' ? leaseUntilMs - nowMs : 0
    return { ...fields, leaseRemainingMs, expiresInMs: expiresAtMs - nowMs }
  }

  keyOf(id: string): string {
    return id
  }

  record(id: string): MapRecord | undefined {
    if (this.database.foreign.has(id)) throw this.foreignError()
    return this.database.records.get(this.keyOf(id))
  }

  foreignError(): StoreError {
    const parts = { store: 'MapStore', expected: 'a record' }
    return storeError(parts, ['ONCEMQ_STORE_REFUSED', 'received another value', 'forget it'])
  }

  isRepeated(found: MapRecord, { claimId }: ClaimRequest): boolean {
    return found.claimId === claimId
  }

  isOwned(found: MapRecord, { claimId }: ClaimUpdate): boolean {
    return found.claimId === claimId
  }

  isLeaseOver(found: MapRecord, nowMs: number): boolean {
    return found.leaseUntilMs <= nowMs
  }

  isRetentionOver(found: MapRecord, nowMs: number): boolean {
    return found.expiresAtMs <= nowMs
  }

  isSwept(found: MapRecord, nowMs: number): boolean {
    return found.expiresAtMs <= nowMs
  }

  isOfAnother(found: MapRecord, { fingerprint }: ClaimRequest, nowMs: number): boolean {
    if (found.state === 'done' || found.expiresAtMs <= nowMs) return false
    return found.fingerprint !== undefined && fingerprint !== undefined && found.fingerprint !== fingerprint
  }

  attemptOf(found: MapRecord | undefined): number {
    return found === undefined || found.state === 'done' ? 1 : found.attempts + 1
  }

  epochOf(found: MapRecord | undefined): number {
    return (found?.epoch ?? 0) + 1
  }

  grant(found: MapRecord | undefined, request: ClaimRequest): ClaimAnswer {
    const { id, claimId, fingerprint, label } = request
    const [epoch, attempts] = [this.epochOf(found), this.attemptOf(found)]
    const times = { leaseUntilMs: 0, expiresAtMs: 0 }
    const given = { claimId, epoch, attempts, fingerprint, label }
    const record: MapRecord = { state: 'running', result: undefined, ...given, ...times }
    this.renew(record, request.leaseMs, request.retentionMs)
    this.database.records.set(this.keyOf(id), record)
    return { status: 'granted', epoch, attempt: attempts }
  }

  grantAgain(found: MapRecord, { leaseMs, retentionMs }: ClaimRequest): ClaimAnswer {
    this.renew(found, leaseMs, retentionMs)
    return { status: 'granted', epoch: found.epoch, attempt: found.attempts }
  }

  renew(found: MapRecord, leaseMs: number, retentionMs: number): void {
    found.leaseUntilMs = this.clock.nowMs() + leaseMs
    found.expiresAtMs = found.leaseUntilMs + retentionMs
  }

  complete(found: MapRecord, { retentionMs, result }: CompleteUpdate): void {
    found.state = 'done'
    found.expiresAtMs = this.clock.nowMs() + retentionMs
    found.result = this.kept(result)
  }

  completeAgain(): UpdateAnswer {
    return 'ok'
  }

  release(_id: string, found: MapRecord, retentionMs: number, attempts: number): void {
    found.state = 'free'
    found.attempts = attempts
    found.expiresAtMs = this.clock.nowMs() + retentionMs
  }

  kept(result: Uint8Array | undefined): Uint8Array | undefined {
    return result === undefined ? undefined : new Uint8Array(result)
  }

  resultOf({ result }: MapRecord): Uint8Array | undefined {
    return this.kept(result)
  }
}
