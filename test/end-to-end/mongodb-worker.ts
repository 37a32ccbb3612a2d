import type { Deduplicator, HandlerContext } from '@oncemq/core'
import { createDeduplicator } from '@oncemq/core'
import type { Consumer } from '@oncemq/core/broker'
import { MongoStore } from '@oncemq/mongodb'
import type { ClientSession, Collection } from 'mongodb'
import { MongoClient } from 'mongodb'
import { Worker } from './worker.ts'

/** Short of the least time for which RocketMQ hides what a dead consumer held. */
const LEASE_MS = 6000
const STORE_TIMEOUT_MS = 3000

/** The collection that handlers write to, one document a run, beside the records. */
export const EFFECTS = 'effects'

export interface MongodbAssignment {
  readonly mode: 'lease' | 'transactional'
  readonly storeUrl: string
  readonly url: string
  readonly topic: string
  readonly historyFile: string
}

/** Consumes with the deduplicator and the handler that it is given. */
export interface ConsumeWith {
  <Tx>(worker: Worker, dedup: Deduplicator<Tx>, handler: EffectHandler): Promise<Consumer>
}

type EffectHandler = (message: object, context: HandlerContext<unknown>) => Promise<void>

/** A consumer process whose records and effects are in MongoDB, in a database of the topic's name. */
export async function runOnMongodb(
  { mode, storeUrl, topic, historyFile }: MongodbAssignment,
  consumeWith: ConsumeWith,
): Promise<void> {
  const worker = new Worker(historyFile)
  const client = new MongoClient(storeUrl)
  const database = client.db(topic)
  const effects: Collection = database.collection(EFFECTS)
  const options = {
    store: worker.noting(new MongoStore({ collection: database.collection('oncemq') })),
    consumerGroup: topic,
    leaseMs: LEASE_MS,
    storeTimeoutMs: STORE_TIMEOUT_MS,
    // Not the default, so that nothing is acked that is not done.
    onUnconfirmed: 'retry',
  } as const
  const handler: EffectHandler = async (_, context) => {
    const { key, epoch, tx } = context
    const session = tx === undefined ? {} : { session: tx as ClientSession }
    await worker.work(context, () => effects.insertOne({ key, epoch, pid: process.pid }, session))
  }
  const consuming = async <Tx>(dedup: Deduplicator<Tx>): Promise<void> => {
    worker.watch(dedup)
    await worker.serve(await consumeWith(worker, dedup, handler), dedup, client)
  }
  if (mode === 'lease') await consuming(createDeduplicator(options))
  else await consuming(createDeduplicator({ ...options, strategy: 'transactional' }))
}
