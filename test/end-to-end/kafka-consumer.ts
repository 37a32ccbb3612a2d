// One member of a group on Kafka. It runs until it is told to stop, its parent is gone, or it is killed.
import { setTimeout as delay } from 'node:timers/promises'
import type { HandlerContext } from '@oncemq/core'
import { createDeduplicator } from '@oncemq/core'
import { consume } from '@oncemq/kafka'
import { MongoStore } from '@oncemq/mongodb'
import type { ClientSession } from 'mongodb'
import { MongoClient } from 'mongodb'
import type { Order } from './crew.ts'
import { History } from './history.ts'
import type { KafkaAssignment } from './kafka-topic.ts'
import { clientOf, EFFECTS } from './kafka-topic.ts'

const LEASE_MS = 6000
const STORE_TIMEOUT_MS = 3000
/** How soon a killed member is no member any more. */
const SESSION_MS = 3000
const HEARTBEAT_MS = 500
const FETCH_WAIT_MS = 200
/** Long enough for a queue of work to stand when something is killed. */
const WORK_MS = 20

const { pid } = process

async function run({ mode, storeUrl, url, topic, historyFile }: KafkaAssignment): Promise<void> {
  const history = new History(historyFile)
  let runsToHalt = Number.POSITIVE_INFINITY
  const stopped = new Promise<void>((resolve) => {
    process.on('message', (order: Order) => {
      if (order.type === 'stop') resolve()
      else runsToHalt = order.runs
    })
  })
  const mongo = new MongoClient(storeUrl)
  const database = mongo.db(topic)
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

  const kafka = clientOf(url)
  const times = {
    sessionTimeout: SESSION_MS,
    heartbeatInterval: HEARTBEAT_MS,
    maxWaitTimeInMs: FETCH_WAIT_MS,
  }
  const shared = {
    consumer: kafka.consumer({ groupId: topic, ...times }),
    producer: kafka.producer(),
    topics: [topic],
    ordering: 'key',
    handler: handle,
  } as const
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
  await mongo.close()
  process.disconnect()
}

/** Stays in the middle of a handler until it is killed there. */
async function halt(): Promise<never> {
  process.send?.('halted')
  return new Promise(() => undefined)
}

process.once('disconnect', () => process.exit())
await run(JSON.parse(process.argv[2] ?? '') as KafkaAssignment)
