import type { ClientMessage, EachBatch } from '../client.ts'
import type { LogEntry } from './transactions.ts'
import { endOf, fatesOf } from './transactions.ts'

/** So many records wait in memory for the end of a transaction; beyond them it is as the client says. */
const HELD_MAX = 100_000

/** A record as the client has fetched it. */
interface RawRecord extends ClientMessage {
  readonly isControlRecord: boolean
  readonly batchContext?: { readonly producerId: string; readonly inTransaction: boolean }
}

/** What a batch of the client has besides. */
interface RawBatch {
  readonly fetchedOffset?: string
  readonly highWatermark?: string
  readonly rawMessages?: readonly RawRecord[]
}

interface FetchedRecord {
  readonly raw: RawRecord
  /** What the client keeps to itself is an end, or was aborted. */
  isGiven: boolean
}

/** What consumers get next, and up to where there is nothing else for them. */
export interface Decided {
  readonly messages: readonly ClientMessage[]
  readonly lastOffset: string
}

/** Whether a record is one of a transaction. */
export function isTransactional(message: ClientMessage): boolean {
  return (message as Partial<RawRecord>).batchContext?.inTransaction === true
}

/** What was committed of a batch, as far as it says so; the rest as the client has it. */
export function committedOf({ messages, ...batch }: EachBatch['batch']): readonly ClientMessage[] {
  const { rawMessages } = batch as RawBatch
  if (rawMessages === undefined) return messages
  const given = new Set<ClientMessage>(messages)
  const records = rawMessages.map((raw) => ({ raw, isGiven: given.has(raw) }))
  const fates = fatesFor(records, 'committed')
  const aborted = new Set(records.filter((_, at) => fates[at] === 'aborted').map(({ raw }) => raw.offset))
  return messages.filter(({ offset }) => !aborted.has(offset))
}

/**
 * Reads a partition's log. Of what was aborted the client gives some, where transactions stand between each
 * other, and says neither which nor how they have ended: that is read from the log itself.
 *
 *   fetched ──▶ committed, and so is all before it ──▶ decided
 *      └── its transaction ends in a later fetch: held, and all after it
 *            └── of that fetch the client gives nothing: fetched once more, from the last record that is held
 */
export class PartitionLog {
  /** From the first record on whose transaction was not seen to end. */
  #held: readonly FetchedRecord[] = []
  /** Where the client fetches next, unless it begins anew. */
  #from: bigint | undefined
  #decidedTo = -1n
  #soughtTo: string | undefined

  /** `undefined` when nothing is decided by it. */
  received(batch: EachBatch['batch']): Decided | undefined {
    const { messages } = batch
    const lastOffset = batch.lastOffset()
    const { rawMessages, fetchedOffset, highWatermark } = batch as RawBatch
    if (rawMessages === undefined) return { messages, lastOffset }
    const from = BigInt(fetchedOffset ?? rawMessages[0]?.offset ?? lastOffset)
    if (from !== this.#from) this.#beginAnew()
    const given = new Set<ClientMessage>(messages)
    this.#held = [
      ...this.#held.filter(({ raw }) => BigInt(raw.offset) < from),
      ...rawMessages
        .filter(({ offset }) => BigInt(offset) >= from)
        .map((raw) => ({ raw, isGiven: given.has(raw) })),
    ]
    this.#from = BigInt(lastOffset) + 1n
    // At the end of the log nothing is open, of what may be read.
    return this.#decide(this.#from >= BigInt(highWatermark ?? lastOffset))
  }

  /** Of a fetch of which the client gives nothing. `sought` is from where it is to fetch once more. */
  passed(firstOffset: string | null, lastOffset: string): { decided?: Decided; sought?: string } {
    const first = BigInt(firstOffset ?? lastOffset)
    if (first < (this.#from ?? 0n)) this.#beginAnew()
    const last = this.#held.findLast(isGiven)
    const isLeftOut = last !== undefined && first <= BigInt(last.raw.offset)
    if (isLeftOut) last.isGiven = false
    this.#from = BigInt(lastOffset) + 1n
    const decided = this.#decide(!isLeftOut && last?.raw.offset === this.#soughtTo)
    const sought = this.#held.findLast(isGiven)?.raw.offset
    this.#soughtTo = sought
    if (sought !== undefined) this.#from = BigInt(sought)
    return { ...(decided && { decided }), ...(sought !== undefined && { sought }) }
  }

  #beginAnew(): void {
    this.#held = []
    this.#decidedTo = -1n
    this.#soughtTo = undefined
  }

  #decide(isAll: boolean): Decided | undefined {
    const records = this.#held
    const fates = fatesFor(records, isAll || records.length > HELD_MAX ? 'committed' : 'open')
    const open = fates.indexOf('open')
    const end = open < 0 ? records.length : open
    this.#held = records.slice(end).filter((_, at) => fates[end + at] !== 'aborted')
    const before = this.#decidedTo
    const ends = [before, BigInt(records[open]?.raw.offset ?? this.#from ?? 0n) - 1n]
    if (open < 0) ends.push(BigInt(records.at(-1)?.raw.offset ?? -1n))
    this.#decidedTo = ends.reduce((most, each) => (each > most ? each : most))
    if (this.#decidedTo === before) return undefined
    const messages = records
      .filter(({ raw }, at) => at < end && fates[at] === 'committed' && BigInt(raw.offset) > before)
      .map(({ raw }) => raw)
    return { messages, lastOffset: `${this.#decidedTo}` }
  }
}

function isGiven(record: FetchedRecord): boolean {
  return record.isGiven
}

/** What the client has left out was aborted. */
function fatesFor(records: readonly FetchedRecord[], beyond: 'committed' | 'open') {
  const aborted = records
    .filter(({ raw, isGiven }) => !isGiven && !raw.isControlRecord)
    .map(({ raw }) => ({ producerId: producerOf(raw), firstOffset: BigInt(raw.offset) }))
  const entries = records.map(({ raw }) => entryOf(raw))
  return fatesOf(entries, aborted, beyond)
}

function entryOf(raw: RawRecord): LogEntry {
  return {
    producerId: producerOf(raw),
    lastOffset: BigInt(raw.offset),
    isTransactional: isTransactional(raw),
    end: raw.isControlRecord ? endOf(raw.key) : undefined,
  }
}

function producerOf({ batchContext }: RawRecord): string {
  return batchContext?.producerId ?? ''
}
