// One consumer process. It runs until it is told to stop, its parent is gone, or it is killed.
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from 'amqplib'
import { createDeduplicator } from '@oncemq/core'
import { consume } from '@oncemq/rabbitmq'
import type { Assignment, Order } from './crew.ts'
import { History } from './history.ts'
import { stores } from './stores.ts'
import { watched } from './watched-connection.ts'

const LEASE_MS = 3000
const STORE_TIMEOUT_MS = 1500
const PREFETCH = 5
/** Long enough for a queue of work to stand when something is killed. */
const WORK_MS = 20

const { pid } = process

async function run({ store, storeUrl, url, queue, historyFile }: Assignment): Promise<void> {
  const history = new History(historyFile)
  let runsToHalt = Number.POSITIVE_INFINITY
  const stopped = new Promise<void>((resolve) => {
    process.on('message', (order: Order) => {
      if (order.type === 'stop') resolve()
      else runsToHalt = order.runs
    })
  })
  const dedup = createDeduplicator({
    store: stores[store](storeUrl),
    consumerGroup: queue,
    leaseMs: LEASE_MS,
    storeTimeoutMs: STORE_TIMEOUT_MS,
    // Not the default, so that nothing is acked that is not done.
    onUnconfirmed: 'retry',
  })
  dedup.on('completed', ({ key }) => history.append({ type: 'done', pid, key: key ?? 'none' }))
  dedup.on('duplicate', ({ key }) => history.append({ type: 'known', pid, key: key ?? 'none' }))
  dedup.on('outage', () => history.append({ type: 'outage', pid }))
  dedup.on('recovered', () => history.append({ type: 'recovered', pid }))
  const consumer = await consume({
    connect: async () => watched(await connect(url), history),
    queue,
    dedup,
    prefetch: PREFETCH,
    handler: async (_message, { key = '', epoch }) => {
      history.append({ type: 'run', pid, key, epoch })
      runsToHalt -= 1
      if (runsToHalt === 0) await halt()
      await delay(WORK_MS)
      history.append({ type: 'ran', pid, key })
    },
  })
  process.send?.('ready')
  await stopped
  await consumer.close()
  await dedup.close()
  process.disconnect()
}

/** Stays in the middle of a handler until it is killed there. */
async function halt(): Promise<never> {
  process.send?.('halted')
  return new Promise(() => undefined)
}

process.once('disconnect', () => process.exit())
await run(JSON.parse(process.argv[2] ?? '') as Assignment)
