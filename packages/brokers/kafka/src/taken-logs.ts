import type { Deduplicator } from '@oncemq/core'
import { isOncemqError, OncemqError } from '@oncemq/core'
import type { TakenLog } from '@oncemq/core/broker'
import { backoffMs, pause } from '@oncemq/core/broker'
import type { TopicPartition } from './clients/port.ts'

/** Between two tries to take a partition's log from a store that answers, and cannot. */
const FAILED_BACKOFF = { firstMs: 100, factor: 2, maxMs: 10_000 }

/**
 * Takes the log of a partition that the group has given to this member, as soon as the store answers.
 * `undefined` when `signal` aborted before. @throws OncemqError where the store never will.
 */
export async function takenLog(
  { topic, partition }: TopicPartition,
  { dedup, fromBeginning }: { readonly dedup: Deduplicator<never>; readonly fromBeginning: boolean },
  signal: AbortSignal,
): Promise<TakenLog | undefined> {
  for (let failures = 0; !signal.aborted; failures += 1) {
    try {
      return await dedup.takeLog(['kafka', topic, `${partition}`], { fromBeginning })
    } catch (error) {
      if (!isOncemqError(error) || !error.retryable) throw error
      await pause(dedup.settings.clock, backoffMs(FAILED_BACKOFF, failures), signal)
      await dedup.available(signal)
    }
  }
  return undefined
}

/** A partition that ends before where its log is done is not the one that was read before. */
export function logGone({ topic, partition }: TopicPartition, next: bigint, offset: string): OncemqError {
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    `consume: expected records of partition ${partition} of '${topic}' from offset ${next} on, received ` +
      `offset ${offset}; if the topic was made anew or cut off, remove its rows from the table of the logs`,
  )
}
