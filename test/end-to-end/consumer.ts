// One consumer process. It runs until it is told to stop, its parent is gone, or it is killed.
import { connect } from 'amqplib'
import { createDeduplicator } from '@oncemq/core'
import { consume } from '@oncemq/rabbitmq'
import type { Assignment } from './crew.ts'
import { stores } from './stores.ts'
import { watched } from './watched-connection.ts'
import { assignment, memberOptions, Worker } from './worker.ts'

const PREFETCH = 5

const { store, storeUrl, url, queue, historyFile } = assignment<Assignment>()
const worker = new Worker(historyFile)
const dedup = createDeduplicator({
  store: stores[store](storeUrl),
  consumerGroup: queue,
  ...memberOptions,
})
worker.watch(dedup)
const consumer = await consume({
  connect: async () => watched(await connect(url), worker.history),
  queue,
  dedup,
  prefetch: PREFETCH,
  handler: (_message, context) => worker.work(context),
})
await worker.serve(consumer, dedup)
