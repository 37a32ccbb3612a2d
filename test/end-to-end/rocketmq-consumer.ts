// One consumer process on RocketMQ. It runs until it is told to stop, its parent is gone, or it is killed.
import { setTimeout as delay } from 'node:timers/promises'
import type { HandlerContext } from '@oncemq/core'
import { createDeduplicator } from '@oncemq/core'
import { MongoStore } from '@oncemq/mongodb'
import { consume } from '@oncemq/rocketmq'
import type { ClientSession } from 'mongodb'
import { MongoClient } from 'mongodb'
import type { MessageView } from 'rocketmq-client-nodejs'
import { SimpleConsumer } from 'rocketmq-client-nodejs'
import type { Order } from './crew.ts'
import { History } from './history.ts'
import type { RocketmqAssignment } from './rocketmq-topic.ts'
import { EFFECTS, silent } from './rocketmq-topic.ts'

/** Short of the least time for which RocketMQ hides what a dead consumer held. */
const LEASE_MS = 6000
const STORE_TIMEOUT_MS = 3000
const INVISIBLE_MS = 10_000
const POLL_MS = 1000
const CONCURRENCY = 8
/** Long enough for a queue of work to stand when something is killed. */
const WORK_MS = 20

const { pid } = process

async function run({ mode, storeUrl, url, topic, historyFile }: RocketmqAssignment): Promise<void> {
  const history = new History(historyFile)
  let runsToHalt = Number.POSITIVE_INFINITY
  const stopped = new Promise<void>((resolve) => {
    process.on('message', (order: Order) => {
      if (order.type === 'stop') resolve()
      else runsToHalt = order.runs
    })
  })
  const client = new MongoClient(storeUrl)
  const database = client.db(topic)
  const options = {
    store: new MongoStore({ collection: database.collection('oncemq') }),
    consumerGroup: topic,
    leaseMs: LEASE_MS,
    storeTimeoutMs: STORE_TIMEOUT_MS,
    // Not the default, so that nothing is acked that is not done.
    onUnconfirmed: 'retry',
  } as const

  async function handle(_: object, { key = '', epoch, tx }: HandlerContext<ClientSession | undefined>) {
    history.append({ type: 'run', pid, key, epoch })
    runsToHalt -= 1
    if (runsToHalt === 0) await halt()
    await database.collection(EFFECTS).insertOne({ key, epoch, pid }, tx === undefined ? {} : { session: tx })
    await delay(WORK_MS)
    history.append({ type: 'ran', pid, key })
  }

  const shared = {
    consumer: watched(url, topic, history),
    key: keyOf,
    concurrency: CONCURRENCY,
    invisibleMs: INVISIBLE_MS,
    handler: handle,
  }
  const lease = createDeduplicator(options)
  const transactional = createDeduplicator({ ...options, strategy: 'transactional' })
  const dedup = mode === 'lease' ? lease : transactional
  dedup.on('completed', ({ key = '' }) => history.append({ type: 'done', pid, key }))
  dedup.on('duplicate', ({ key = '' }) => history.append({ type: 'known', pid, key }))
  dedup.on('outage', () => history.append({ type: 'outage', pid }))
  const consumer = await (mode === 'lease'
    ? consume({ ...shared, dedup: lease })
    : consume({ ...shared, dedup: transactional }))
  process.send?.('ready')
  await stopped
  await consumer.close()
  await dedup.close()
  await client.close()
  process.disconnect()
}

/** Notes what is acked. */
function watched(url: string, topic: string, history: History): SimpleConsumer {
  const consumer = new SimpleConsumer({
    endpoints: new URL(url).host,
    namespace: '',
    logger: silent,
    consumerGroup: topic,
    subscriptions: new Map([[topic, '*']]),
    awaitDuration: POLL_MS,
  })
  const ack = consumer.ack.bind(consumer)
  consumer.ack = async (message: MessageView) => {
    history.append({ type: 'ack', pid, key: keyOf(message) ?? '', message: message.messageId })
    await ack(message)
  }
  return consumer
}

function keyOf({ keys }: { readonly keys: readonly string[] }): string | undefined {
  return keys[0]
}

/** Stays in the middle of a handler until it is killed there. */
async function halt(): Promise<never> {
  process.send?.('halted')
  return new Promise(() => undefined)
}

process.once('disconnect', () => process.exit())
await run(JSON.parse(process.argv[2] ?? '') as RocketmqAssignment)
