// One member of a group on Kafka that follows its logs. It runs until it is told to stop, its parent is gone,
// it is killed, or a poison message ends it.
import { createDeduplicator, watermark } from '@oncemq/core'
import { consume } from '@oncemq/kafka'
import { clientOf } from './kafka-topic.ts'
import { logScenes, type LogStoreName } from './watermark-scene.ts'
import { assignment, Worker } from './worker.ts'

/** How soon a killed member is no member any more. */
const SESSION_MS = 3000
const HEARTBEAT_MS = 500
const FETCH_WAIT_MS = 200
const LEASE_MS = 6000

export interface LogAssignment {
  readonly store: LogStoreName
  readonly storeUrl: string
  readonly url: string
  readonly topic: string
  readonly historyFile: string
  readonly record: boolean
  readonly attemptsMax: number
}

const { store: name, storeUrl, url, topic, historyFile, record, attemptsMax } = assignment<LogAssignment>()
const worker = new Worker(historyFile)
const { store, write } = logScenes[name].open(storeUrl)
const dedup = createDeduplicator<unknown>({
  store,
  consumerGroup: topic,
  strategy: watermark({ record }),
  leaseMs: LEASE_MS,
  attemptsMax,
})
worker.watch(dedup)
const kafka = clientOf(url)
const times = { sessionTimeout: SESSION_MS, heartbeatInterval: HEARTBEAT_MS, maxWaitTimeInMs: FETCH_WAIT_MS }
const consumer = await consume<unknown>({
  consumer: kafka.consumer({ groupId: topic, ...times }),
  producer: kafka.producer(),
  topics: [topic],
  dedup,
  handler: async ({ value }, context) => {
    const message = String(value)
    await worker.work(context, async () => {
      await write(context.tx, message)
      if (message.endsWith('poison')) process.kill(process.pid, 'SIGKILL')
    })
  },
})
await worker.serve(consumer, dedup)
