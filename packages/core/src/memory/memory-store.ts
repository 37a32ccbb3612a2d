import { type Clock, systemClock } from '../time/clock.ts'
import { StoreError } from '../errors.ts'
import { ABSENT, DONE, FREE, type MemorySegment, RUNNING } from './memory-segment.ts'
import { MemoryTable, readHex } from './memory-table.ts'
import type {
  ClaimAnswer,
  ClaimRequest,
  ClaimUpdate,
  CompleteUpdate,
  Finding,
  StoredRecord,
  SweepingStore,
  UpdateAnswer,
} from '../store/contract.ts'
import { givenOptions, requireClock, requireInteger } from '../validate.ts'

/** Options of {@link MemoryStore}. */
export interface MemoryStoreOptions {
  /**
   * Most keys held at a time. When they are reached and none has expired, claims fail rather than a key be
   * forgotten. Minimum 1, maximum 100 million.
   * @default 1_000_000
   */
  readonly keysMax?: number
  /** Its monotonic time decides leases and retention: one process needs no wall clock, which may jump. */
  readonly clock?: Clock
}

const KEYS_MAX_DEFAULT = 1_000_000
const KEYS_MAX_BOUND = 100_000_000

// Enough room for the rest of a batch, and a short step.
const MAKE_ROOM_KEYS = 256

const CONFLICT: ClaimAnswer = Object.freeze({ status: 'conflict' })

const STATE_NAMES = { [RUNNING]: 'running', [DONE]: 'done', [FREE]: 'free' } as const

/**
 * Keeps records in this process's memory. It forgets them when the process ends, and no other process sees
 * them: a message that is redelivered after a restart, or to another worker, runs again. For tests, for a
 * single worker whose broker alone repeats, and for measuring; else take a store on disk or on a server.
 *
 * Takes 70 to 88 bytes a key, and about 215 if it keeps the readable key (`storeReadableKey`). Work
 * a call is bounded: the table grows and is swept in segments.
 * @throws OptionError when an option is wrong.
 * @example const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'billing' })
 */
export class MemoryStore implements SweepingStore {
  readonly name = 'memory'
  readonly guarantees = Object.freeze({
    durable: false,
    sharedBy: 'process',
    transactional: false,
    renewsInTransaction: false,
    expiryGranularityMs: 1,
  })
  readonly batching = Object.freeze({ batchMax: 1024, batchesInFlightMax: 1 })
  readonly #keysMax: number
  readonly #clock: Clock
  readonly #table: MemoryTable
  readonly #id = new Uint32Array(4)
  readonly #claimId = new Uint32Array(4)
  #size = 0

  constructor(options: MemoryStoreOptions = {}) {
    const given = givenOptions('MemoryStore', options, new Set(['keysMax', 'clock']))
    const { keysMax = KEYS_MAX_DEFAULT, clock = systemClock } = given
    requireInteger('keysMax', keysMax, 1, KEYS_MAX_BOUND)
    requireClock(clock)
    this.#keysMax = keysMax
    this.#clock = clock
    this.#table = new MemoryTable(keysMax)
  }

  /** How many records it holds now, expired ones that were not yet swept included. */
  get size(): number {
    return this.#size
  }

  async open(): Promise<readonly Finding[]> {
    if (process.env['NODE_ENV'] !== 'production') return []
    return [
      {
        severity: 'warning',
        code: 'memory-in-production',
        found: 'The store keeps its records in the memory of this process, and NODE_ENV is production.',
        remedy: 'Use a store that outlives the process and that all workers share, such as @oncemq/sqlite.',
      },
    ]
  }

  async claim(batch: readonly ClaimRequest[]): Promise<readonly ClaimAnswer[]> {
    const nowMs = this.#clock.monotonicMs()
    return batch.map((request) => this.#claim(request, nowMs))
  }

  async update(batch: readonly ClaimUpdate[]): Promise<readonly UpdateAnswer[]> {
    const nowMs = this.#clock.monotonicMs()
    return batch.map((update) => this.#update(update, nowMs))
  }

  async inspect(ids: readonly string[]): Promise<readonly (StoredRecord | undefined)[]> {
    const nowMs = this.#clock.monotonicMs()
    return ids.map((digits) => {
      const id = readHex(digits, this.#id)
      const segment = this.#table.segmentOf(id)
      const slot = segment.find(id)
      return slot === ABSENT ? undefined : storedRecord(segment, slot, nowMs)
    })
  }

  async forget(ids: readonly string[]): Promise<void> {
    for (const digits of ids) {
      const id = readHex(digits, this.#id)
      const segment = this.#table.segmentOf(id)
      const slot = segment.find(id)
      if (slot === ABSENT) continue
      segment.remove(slot)
      this.#size -= 1
    }
  }

  async sweep(limit: number): Promise<number> {
    return this.#sweep(limit, this.#clock.monotonicMs())
  }

  /** Does nothing: the records stay for whoever else holds this store, until it is garbage. */
  async close(): Promise<void> {}

  #claim(request: ClaimRequest, nowMs: number): ClaimAnswer {
    const id = readHex(request.id, this.#id)
    const claimId = readHex(request.claimId, this.#claimId)
    const segment = this.#table.segmentOf(id)
    const slot = segment.find(id)
    if (slot === ABSENT) return grant(segment, this.#insert(segment, id, nowMs), request, claimId, nowMs)
    switch (segment.state(slot)) {
      case RUNNING:
        if (segment.isClaimedBy(slot, claimId)) return grantAgain(segment, slot, request, nowMs)
        if (isOfAnother(segment, slot, request, nowMs)) return CONFLICT
        if (segment.leaseUntilMs(slot) > nowMs) return busy(segment, slot, nowMs)
        return grant(segment, slot, request, claimId, nowMs)
      case DONE:
        if (segment.expiresAtMs(slot) > nowMs) return done(segment, slot)
        return grant(segment, slot, request, claimId, nowMs)
      default:
        if (isOfAnother(segment, slot, request, nowMs)) return CONFLICT
        return grant(segment, slot, request, claimId, nowMs)
    }
  }

  #insert(segment: MemorySegment, id: Uint32Array, nowMs: number): number {
    if (this.#size === this.#keysMax && this.#sweep(MAKE_ROOM_KEYS, nowMs) === 0) {
      throw new StoreError(
        'ONCEMQ_STORE_FULL',
        `MemoryStore: expected at most ${this.#keysMax} unexpired keys (keysMax), received one more. ` +
          'Raise keysMax, shorten retentionMs, or use a store on disk or on a server.',
      )
    }
    this.#size += 1
    return segment.insert(id)
  }

  #sweep(limit: number, nowMs: number): number {
    const removed = this.#table.sweep(nowMs, limit)
    this.#size -= removed
    return removed
  }

  #update(update: ClaimUpdate, nowMs: number): UpdateAnswer {
    const id = readHex(update.id, this.#id)
    const segment = this.#table.segmentOf(id)
    const slot = segment.find(id)
    if (slot === ABSENT || !segment.isClaimedBy(slot, readHex(update.claimId, this.#claimId))) return 'lost'
    const state = segment.state(slot)
    if (state !== RUNNING) return state === DONE && update.op === 'complete' ? 'ok' : 'lost'
    switch (update.op) {
      case 'renew': {
        const leaseUntilMs = nowMs + update.leaseMs
        segment.setTimes(slot, leaseUntilMs, leaseUntilMs + update.retentionMs)
        return 'ok'
      }
      case 'complete':
        segment.setState(slot, DONE, segment.attempts(slot))
        segment.setTimes(slot, 0, nowMs + update.retentionMs)
        if (update.result !== undefined) keepResult(segment, slot, update)
        return 'ok'
      case 'release':
        segment.setState(slot, FREE, update.attempts)
        segment.setTimes(slot, 0, nowMs + update.retentionMs)
        return 'ok'
    }
  }
}

/** Whether the record is of another payload and has not expired. */
function isOfAnother(
  segment: MemorySegment,
  slot: number,
  { fingerprint }: ClaimRequest,
  nowMs: number,
): boolean {
  if (fingerprint === undefined) return false
  const known = segment.extras(slot)?.fingerprint
  return known !== undefined && known !== fingerprint && segment.expiresAtMs(slot) > nowMs
}

function grant(
  segment: MemorySegment,
  slot: number,
  request: ClaimRequest,
  claimId: Uint32Array,
  nowMs: number,
): ClaimAnswer {
  const epoch = segment.epoch(slot) + 1
  const attempt = segment.state(slot) === DONE ? 1 : segment.attempts(slot) + 1
  const { fingerprint, label } = request
  const plain = fingerprint === undefined && label === undefined
  segment.setClaim(slot, claimId, epoch)
  segment.setState(slot, RUNNING, attempt)
  segment.setExtras(slot, plain ? undefined : { fingerprint, label, result: undefined })
  startLease(segment, slot, request, nowMs)
  return { status: 'granted', epoch, attempt }
}

function grantAgain(segment: MemorySegment, slot: number, request: ClaimRequest, nowMs: number): ClaimAnswer {
  startLease(segment, slot, request, nowMs)
  return { status: 'granted', epoch: segment.epoch(slot), attempt: segment.attempts(slot) }
}

function startLease(segment: MemorySegment, slot: number, request: ClaimRequest, nowMs: number): void {
  const leaseUntilMs = nowMs + request.leaseMs
  segment.setTimes(slot, leaseUntilMs, leaseUntilMs + request.retentionMs)
}

function busy(segment: MemorySegment, slot: number, nowMs: number): ClaimAnswer {
  const leaseRemainingMs = Math.ceil(segment.leaseUntilMs(slot) - nowMs)
  return { status: 'busy', epoch: segment.epoch(slot), leaseRemainingMs }
}

function done(segment: MemorySegment, slot: number): ClaimAnswer {
  const extras = segment.extras(slot)
  return { status: 'done', fingerprint: extras?.fingerprint, result: copied(extras?.result) }
}

/** Copies the bytes: the caller's buffer may be part of a larger one, or be written to later. */
function keepResult(segment: MemorySegment, slot: number, { result }: CompleteUpdate): void {
  const extras = segment.extras(slot)
  segment.setExtras(slot, { fingerprint: extras?.fingerprint, label: extras?.label, result: copied(result) })
}

function copied(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes === undefined ? undefined : new Uint8Array(bytes)
}

function storedRecord(segment: MemorySegment, slot: number, nowMs: number): StoredRecord {
  const state = segment.state(slot)
  const extras = segment.extras(slot)
  return {
    state: STATE_NAMES[state as keyof typeof STATE_NAMES],
    epoch: segment.epoch(slot),
    attempts: segment.attempts(slot),
    leaseRemainingMs: state === RUNNING ? Math.ceil(segment.leaseUntilMs(slot) - nowMs) : 0,
    expiresInMs: Math.ceil(segment.expiresAtMs(slot) - nowMs),
    fingerprint: extras?.fingerprint,
    label: extras?.label,
    result: copied(extras?.result),
  }
}
