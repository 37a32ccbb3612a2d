import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createDeduplicator } from '@oncemq/core'
import { consume, dedupEachMessage } from '@oncemq/kafka'
import { SqliteStore } from '@oncemq/sqlite'
import type { Consumer, EachMessagePayload, Producer } from 'kafkajs'
import { charge, openBooks } from './books.ts'
import { countdown } from './countdown.ts'
import type { RunningService, ServicePlan } from './demo-broker.ts'
import { CONSUMER_GROUP, LEASE_MS } from './demo-broker.ts'
import { Journal } from './journal.ts'
import { kafkaOf } from './kafka-client.ts'
import type { Payment } from './payments.ts'
import { payments } from './payments.ts'
import { watchMember } from './watched-member.ts'

/** The least that Kafka allows, so that the partitions of a dead worker are given to another soon. */
const SESSION_MS = 6000
const HEARTBEAT_MS = 500
const FETCH_WAIT_MS = 200

interface Setting {
  readonly plan: ServicePlan
  readonly consumer: Consumer
  readonly producer: Producer
  readonly books: DatabaseSync
  /** What a handler does after the charge. A crash lies in it, where the plan has one. */
  readonly sendReceipt: () => Promise<void>
}

type EachMessage = (payload: EachMessagePayload) => Promise<void>

/**
 * Starts a payment service, in a process of its own. Its code is that of any consumer; the faults of the plan
 * stand around it.
 */
export async function startKafkaService(plan: ServicePlan, url: string): Promise<RunningService> {
  const { promise: ended, resolve: end } = Promise.withResolvers<void>()
  const books = openBooks(join(plan.folder, 'books.db'))
  const allDelivered = countdown(payments.length)
  const kafka = kafkaOf(url)
  const times = { sessionTimeout: SESSION_MS, heartbeatInterval: HEARTBEAT_MS }
  const raw = kafka.consumer({ groupId: plan.queue, ...times, maxWaitTimeInMs: FETCH_WAIT_MS })
  const consumer = watchMember(raw, {
    journal: new Journal(join(plan.folder, 'journal')),
    delivered: allDelivered.down,
    ...(plan.fault === 'ack-lost' && { losesAcks: { messages: payments.length, lost: end } }),
  })
  const sendReceipt = async (): Promise<void> => {
    if (plan.fault !== 'crash') return
    // All of them are in the middle of their work: the moment at which a crash hurts most.
    await allDelivered.reached
    // Whoever was given the last of them has charged a turn later.
    await nextTurn()
    process.kill(process.pid, 'SIGKILL')
    await new Promise(() => undefined)
  }
  const producer = kafka.producer({ allowAutoTopicCreation: false })
  const stopConsuming = await startConsuming({ plan, consumer, producer, books, sendReceipt })
  return {
    ended,
    async stop() {
      await stopConsuming()
      await producer.disconnect()
      books.close()
    },
  }
}

function startConsuming(setting: Setting): Promise<() => Promise<void>> {
  switch (setting.plan.protection) {
    case 'none':
      return consumePlainly(setting)
    case 'lease':
      return consumeDeduplicated(setting)
    case 'transactional':
      return consumeTransactionally(setting)
  }
}

async function consumePlainly(
  { plan, consumer, books, sendReceipt }: Setting,
  wrap = (handle: EachMessage): EachMessage => handle,
): Promise<() => Promise<void>> {
  const handle = wrap(async ({ message }) => {
    charge(books, paymentOf(message))
    await sendReceipt()
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [plan.queue], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    partitionsConsumedConcurrently: payments.length,
    eachMessage: async (payload) => {
      await handle(payload)
      const { topic, partition, message } = payload
      await consumer.commitOffsets([{ topic, partition, offset: `${BigInt(message.offset) + 1n}` }])
    },
  })
  return () => consumer.disconnect()
}

async function consumeDeduplicated(setting: Setting): Promise<() => Promise<void>> {
  const { plan, producer } = setting
  const store = new SqliteStore({ path: join(plan.folder, 'oncemq.db') })
  const dedup = createDeduplicator({ store, consumerGroup: CONSUMER_GROUP, leaseMs: LEASE_MS })
  const closing = new AbortController()
  // The consumer stays as it was: only its function is wrapped.
  const stop = await consumePlainly(setting, (handle) =>
    dedupEachMessage(handle, dedup, { producer, signal: closing.signal }),
  )
  return async () => {
    closing.abort()
    await stop()
    await dedup.close()
  }
}

async function consumeTransactionally(setting: Setting): Promise<() => Promise<void>> {
  const { plan, consumer: raw, producer, books, sendReceipt } = setting
  const dedup = createDeduplicator({
    store: new SqliteStore({ database: books }),
    consumerGroup: CONSUMER_GROUP,
    strategy: 'transactional',
    leaseMs: LEASE_MS,
  })
  const consumer = await consume({
    consumer: raw,
    producer,
    topics: [plan.queue],
    dedup,
    handler: async (message, { tx }) => {
      charge(tx, paymentOf(message))
      await sendReceipt()
    },
  })
  return async () => {
    await consumer.close()
    await dedup.close()
  }
}

function paymentOf({ value }: { value: Buffer | null }): Payment {
  return JSON.parse(String(value)) as Payment
}
