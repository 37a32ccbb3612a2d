import type { ClientMessage, HeaderValue } from '../client.ts'
import type { RawBatch, RawFetchedPartition, RawRecord } from './platformatic-raw.ts'

const LOG_APPEND_TIME = 0x08
const TRANSACTIONAL = 0x10
const CONTROL = 0x20
/** In the key of a control record, after its version. */
const ABORT = 0

/** What was fetched, from an offset on. */
export interface Decoded {
  readonly messages: readonly ClientMessage[]
  readonly lastOffset: bigint | undefined
}

/**
 * Reads the batches that were fetched. A fetch begins with the batch in which its offset is. Of the records
 * that were aborted the client takes out those of a producer's last transaction alone, so all are here.
 */
export function decode({ records, abortedTransactions }: RawFetchedPartition, from: bigint): Decoded {
  const messages: ClientMessage[] = []
  const transactions = [...(abortedTransactions ?? [])].toSorted(byFirstOffset)
  const aborted = new Set<bigint>()
  let lastOffset: bigint | undefined
  for (const batch of records ?? []) {
    lastOffset = batch.firstOffset + BigInt(batch.lastOffsetDelta)
    while (transactions[0] !== undefined && transactions[0].firstOffset <= lastOffset) {
      aborted.add(transactions.shift()?.producerId ?? -1n)
    }
    if ((batch.attributes & CONTROL) !== 0) {
      if (isAbort(batch)) aborted.delete(batch.producerId)
      continue
    }
    if ((batch.attributes & TRANSACTIONAL) !== 0 && aborted.has(batch.producerId)) continue
    for (const record of batch.records) {
      const offset = batch.firstOffset + BigInt(record.offsetDelta)
      if (offset >= from) messages.push(messageOf(batch, record, offset))
    }
  }
  return { messages, lastOffset }
}

function byFirstOffset(one: { firstOffset: bigint }, other: { firstOffset: bigint }): number {
  return one.firstOffset < other.firstOffset ? -1 : 1
}

function isAbort({ records }: RawBatch): boolean {
  const key = records[0]?.key
  return key !== undefined && key !== null && key.length >= 4 && key.readInt16BE(2) === ABORT
}

function messageOf(batch: RawBatch, record: RawRecord, offset: bigint): ClientMessage {
  const byBroker = (batch.attributes & LOG_APPEND_TIME) !== 0
  return {
    offset: `${offset}`,
    timestamp: `${byBroker ? batch.maxTimestamp : batch.firstTimestamp + record.timestampDelta}`,
    key: record.key,
    value: record.value,
    headers: headersOf(record),
  }
}

/** Those that are given several times are arrays, as with other clients. */
function headersOf({ headers }: RawRecord): Readonly<Record<string, HeaderValue>> {
  const values = new Map<string, Buffer[]>()
  for (const [rawName, value] of headers) {
    const name = String(rawName ?? '')
    values.set(name, [...(values.get(name) ?? []), value ?? Buffer.alloc(0)])
  }
  const entries = [...values].map(([name, all]) => [name, all.length === 1 ? all[0] : all])
  return Object.fromEntries(entries) as Record<string, HeaderValue>
}
