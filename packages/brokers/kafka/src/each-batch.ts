import type { Deduplicator } from '@oncemq/core'
import { refuseTransactional, requireDeduplicator } from '@oncemq/core/broker'
import { BatchPassage } from './batch-passage.ts'
import type { EachBatch } from './client.ts'
import { producerOf } from './clients/given.ts'
import { beating } from './heartbeat.ts'
import type { DedupEachBatchOptions } from './options.ts'
import { Parking } from './parking.ts'
import { RecordFailures } from './record-failures.ts'
import { dedupEachBatchSettings } from './settings.ts'

/**
 * Wraps the `eachBatch` of a consumer, so that its batches hold each record once:
 *
 * - duplicates are left out, also those within a batch; a batch of which nothing is left is passed over;
 * - records of transactions that were aborted are left out where the batch says so: kafkajs hands over some.
 *   Of one that ends in a later batch this is as the client has it; `consume` waits for its end;
 * - `resolveOffset(offset)` records as done what it resolves and what was given before it, and only then lets
 *   the client resolve; when the handler returns, all that it was given is done;
 * - when it throws, what is not resolved has failed, and the client fetches again: it gets what was thrown,
 *   or an error with that as its cause, where it would end for good, as for a TypeError. A record that has
 *   failed before is given alone from then on, so that a poison one takes no other with it; after its last
 *   attempt it goes to the topic of dead letters;
 * - a record that is busy elsewhere, or has no answer from the store, waits here and keeps those after it
 *   waiting, so that a batch may come in several parts; the heart goes on beating.
 *
 * @throws OptionError for an option that is wrong; OncemqError `ONCEMQ_CONSUMER_UNSAFE` with strategy
 * `transactional`.
 * @example
 * await consumer.run({ eachBatch: dedupEachBatch(handle, dedup, { producer }) })
 */
export function dedupEachBatch<Payload extends EachBatch>(
  handler: (payload: Payload) => unknown,
  dedup: Deduplicator,
  options: DedupEachBatchOptions,
): (payload: Payload) => Promise<void> {
  requireDeduplicator('dedupEachBatch', dedup)
  const remedy = 'use consume({ ... }) or dedupEachMessage(...), which hand over the transaction'
  refuseTransactional('dedupEachBatch', dedup, remedy)
  const settings = dedupEachBatchSettings(handler, options)
  const anyDedup = dedup as unknown as Deduplicator<never>
  const { producer, parkingTopic } = settings
  const parking = new Parking(producerOf(producer), parkingTopic, anyDedup)
  const failures = new RecordFailures()
  return async (payload) => {
    const passage = new BatchPassage(payload, handler, { dedup: anyDedup, parking, settings, failures })
    try {
      await beating(
        dedup.settings.clock,
        () => payload.heartbeat(),
        () => passage.run(),
      )
    } finally {
      passage.end()
    }
  }
}
