import type { ClientMessage, HeaderValue } from '../client.ts'
import type { RawBatch, RawFetchedPartition, RawRecord } from './platformatic-raw.ts'
import type { LogEntry } from './transactions.ts'
import { endOf, fatesOf } from './transactions.ts'

const LOG_APPEND_TIME = 0x08
const TRANSACTIONAL = 0x10
const CONTROL = 0x20

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
  const batches = records ?? []
  const entries = batches.map(entryOf)
  const fates = fatesOf(entries, abortedTransactions ?? [], 'committed')
  const messages = batches
    .filter((_, at) => fates[at] === 'committed')
    .flatMap((batch) => batch.records.map((record) => messageOf(batch, record)))
    .filter(({ offset }) => BigInt(offset) >= from)
  return { messages, lastOffset: entries.at(-1)?.lastOffset }
}

function entryOf(batch: RawBatch): LogEntry {
  const { attributes, producerId, firstOffset, lastOffsetDelta } = batch
  return {
    producerId,
    lastOffset: firstOffset + BigInt(lastOffsetDelta),
    isTransactional: (attributes & TRANSACTIONAL) !== 0,
    end: (attributes & CONTROL) === 0 ? undefined : endOf(batch.records[0]?.key),
  }
}

function messageOf(batch: RawBatch, record: RawRecord): ClientMessage {
  const byBroker = (batch.attributes & LOG_APPEND_TIME) !== 0
  return {
    offset: `${batch.firstOffset + BigInt(record.offsetDelta)}`,
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
