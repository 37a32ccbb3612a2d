// One worker on a RabbitMQ stream. It runs until it is told to stop, its parent is gone, it is killed, or a
// poison message ends it.
import { connect } from 'amqplib'
import { createDeduplicator, watermark } from '@oncemq/core'
import { consume } from '@oncemq/rabbitmq'
import { logScenes, type LogStoreName } from './watermark-scene.ts'
import { assignment, Worker } from './worker.ts'

/** How soon one that stands still is taken for dead: after two of them. */
const HEARTBEAT_SECONDS = 1
const PREFETCH = 20
const LEASE_MS = 6000

export interface StreamAssignment {
  readonly store: LogStoreName
  readonly storeUrl: string
  readonly url: string
  readonly queue: string
  readonly historyFile: string
  readonly attemptsMax: number
}

const { store: name, storeUrl, url, queue, historyFile, attemptsMax } = assignment<StreamAssignment>()
const worker = new Worker(historyFile)
const { store, write } = logScenes[name].open(storeUrl)
const dedup = createDeduplicator<unknown>({
  store,
  consumerGroup: queue,
  strategy: watermark(),
  leaseMs: LEASE_MS,
  attemptsMax,
})
worker.watch(dedup)
const consumer = await consume<unknown>({
  connect: async () => connect(`${url}?heartbeat=${HEARTBEAT_SECONDS}`),
  queue,
  dedup,
  prefetch: PREFETCH,
  handler: async ({ content }, context) => {
    const message = content.toString()
    // Without a key of its own, so that the history tells them apart.
    await worker.work({ ...context, key: message }, async () => {
      await write(context.tx, message)
      if (message.endsWith('poison')) process.kill(process.pid, 'SIGKILL')
    })
  },
})
await worker.serve(consumer, dedup)
