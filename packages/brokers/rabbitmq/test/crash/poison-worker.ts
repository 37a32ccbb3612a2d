// A consumer process that dies by each poison that it handles. Its configuration is its argument.
import { createDeduplicator } from '@oncemq/core'
import { SqliteStore } from '@oncemq/sqlite'
import { connect } from 'amqplib'
import { consume } from '../../src/index.ts'
import type { PoisonConfig } from './points.ts'
import { record } from './points.ts'

const { url, queue, database, history, prefetch } = JSON.parse(process.argv[2] ?? '') as PoisonConfig
const WORK_MS = 300
const DEATH_MS = 100

function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs))
}

const dedup = createDeduplicator({
  store: new SqliteStore({ path: database }),
  consumerGroup: 'poison',
  leaseMs: 2000,
  attemptsMax: 3,
})
await consume({
  connect: () => connect(url),
  queue,
  dedup,
  prefetch,
  handler: async ({ content }, { key, epoch }) => {
    record(history, { type: 'run', pid: process.pid, key: content.toString(), epoch: epoch ?? 0 })
    if (content.toString().startsWith('poison')) {
      await sleep(DEATH_MS)
      process.kill(process.pid, 'SIGKILL')
    }
    await sleep(WORK_MS)
    record(history, { type: 'done', pid: process.pid, key: key ?? content.toString() })
  },
})
