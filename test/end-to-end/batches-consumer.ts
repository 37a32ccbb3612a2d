// One consumer process whose handlers share transactions. It runs until it is told to stop, its parent is
// gone, or it is killed, also by a message.
import { connect } from 'amqplib'
import { createDeduplicator, transactional } from '@oncemq/core'
import { consume } from '@oncemq/rabbitmq'
import type { Batched, BatchesAssignment } from './batched-stores.ts'
import { batchedStores, POISON } from './batched-stores.ts'
import { watched } from './watched-connection.ts'
import { assignment, memberOptions, Worker } from './worker.ts'

const PREFETCH = 24
const { store: name, storeUrl, url, queue, historyFile } = assignment<BatchesAssignment>()
const worker = new Worker(historyFile)
const batched = batchedStores[name](storeUrl) as Batched<unknown>
const dedup = createDeduplicator<unknown>({
  store: batched.store,
  consumerGroup: queue,
  strategy: transactional({ batch: { max: 16 } }),
  attemptsMax: 2,
  ...memberOptions,
})
worker.watch(dedup)
const consumer = await consume({
  connect: async () => watched(await connect(url), worker.history),
  queue,
  dedup,
  prefetch: PREFETCH,
  handler: (_message, context) =>
    worker.work(context, async () => {
      await batched.write(context.tx, context.key as string)
      if (context.key === POISON) process.kill(process.pid, 'SIGKILL')
    }),
})
await worker.serve(consumer, dedup, batched)
