// One member of a group on Kafka, with a store of any kind. It runs until it is told to stop, its parent is
// gone, or it is killed.
import type { Deduplicator, HandlerContext, Store } from '@oncemq/core'
import { createDeduplicator } from '@oncemq/core'
import { consume } from '@oncemq/kafka'
import { PostgresStore } from '@oncemq/postgres'
import type { KafkaClientName } from './kafka-member.ts'
import { memberOf } from './kafka-member.ts'
import type { StoreName } from './stores.ts'
import { stores } from './stores.ts'
import { logScenes } from './watermark-scene.ts'
import { assignment, Worker } from './worker.ts'

/** Longer than a member that is killed is one. */
const LEASE_MS = 4000
const STORE_TIMEOUT_MS = 3000

export interface StoreAssignment {
  readonly client: KafkaClientName
  readonly mode: 'lease' | 'transactional'
  readonly store: StoreName
  readonly storeUrl: string
  readonly url: string
  readonly topic: string
  readonly historyFile: string
}

const given = assignment<StoreAssignment>()
const { client, mode, store, storeUrl, url, topic, historyFile } = given
const worker = new Worker(historyFile)
const options = {
  consumerGroup: topic,
  leaseMs: LEASE_MS,
  storeTimeoutMs: STORE_TIMEOUT_MS,
  // Not the default, so that nothing is acked that is not done.
  onUnconfirmed: 'retry',
} as const

async function consuming<Tx>(
  dedup: Deduplicator<Tx>,
  effect: (context: HandlerContext<Tx>) => Promise<unknown>,
): Promise<void> {
  worker.watch(dedup)
  const consumer = await consume<Tx>({
    ...memberOf(client, url, topic),
    topics: [topic],
    ordering: 'key',
    dedup,
    handler: (_, context) => worker.work(context, () => effect(context)),
  })
  await worker.serve(consumer, dedup)
}

if (mode === 'lease') {
  const records = worker.noting<Store>(stores[store](storeUrl))
  await consuming(createDeduplicator({ ...options, store: records }), async () => undefined)
} else {
  const records = worker.noting(new PostgresStore({ url: storeUrl, timeoutMs: STORE_TIMEOUT_MS }))
  const dedup = createDeduplicator({ ...options, store: records, strategy: 'transactional' })
  await consuming(dedup, ({ key = '', tx }) => logScenes.postgres.write(tx, key))
}
