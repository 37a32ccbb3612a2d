import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createDeduplicator } from '@oncemq/core'
import { stopClient, startClient, consume, dedupSimpleConsumer } from '@oncemq/rocketmq'
import { SqliteStore } from '@oncemq/sqlite'
import type { MessageView } from 'rocketmq-client-nodejs'
import { SimpleConsumer } from 'rocketmq-client-nodejs'
import { charge, openBooks } from './books.ts'
import { countdown } from './countdown.ts'
import type { RunningService, ServicePlan } from './demo-broker.ts'
import { CONSUMER_GROUP, LEASE_MS } from './demo-broker.ts'
import { Journal } from './journal.ts'
import type { Payment } from './payments.ts'
import { payments } from './payments.ts'
import { clientOptions } from './rocketmq-client.ts'
import { watchConsumer } from './watched-consumer.ts'

/** The least that RocketMQ allows, so that what a dead worker held comes again soon. */
const INVISIBLE_MS = 10_000
const RECEIVE_MAX = 16
/** A server as delivered refuses shorter polls. */
const POLL_MS = 5000

interface Setting {
  readonly plan: ServicePlan
  readonly consumer: SimpleConsumer
  readonly books: DatabaseSync
  /** What a handler does after the charge. A crash lies in it, where the plan has one. */
  readonly sendReceipt: () => Promise<void>
}

/**
 * Starts a payment service, in a process of its own. Its code is that of any consumer; the faults of the plan
 * stand around it.
 */
export async function startRocketmqService(plan: ServicePlan, url: string): Promise<RunningService> {
  const { promise: ended, resolve: end } = Promise.withResolvers<void>()
  const books = openBooks(join(plan.folder, 'books.db'))
  const allDelivered = countdown(payments.length)
  const raw = new SimpleConsumer({
    ...clientOptions(url),
    consumerGroup: plan.queue,
    subscriptions: new Map([[plan.queue, '*']]),
    awaitDuration: POLL_MS,
  })
  const consumer = watchConsumer(raw, {
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
  const stopConsuming = await startConsuming({ plan, consumer, books, sendReceipt })
  return {
    ended,
    async stop() {
      await stopConsuming()
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

async function consumePlainly({ consumer, books, sendReceipt }: Setting): Promise<() => Promise<void>> {
  const handle = async (message: MessageView): Promise<void> => {
    charge(books, paymentOf(message))
    await sendReceipt()
    await consumer.ack(message)
  }
  let isStopping = false
  await startClient(consumer)
  const looped = (async () => {
    while (!isStopping) {
      for (const message of await consumer.receive(RECEIVE_MAX, INVISIBLE_MS)) void handle(message)
    }
  })()
  return async () => {
    isStopping = true
    await looped
    await stopClient(consumer)
  }
}

async function consumeDeduplicated(setting: Setting): Promise<() => Promise<void>> {
  const store = new SqliteStore({ path: join(setting.plan.folder, 'oncemq.db') })
  const dedup = createDeduplicator({ store, consumerGroup: CONSUMER_GROUP, leaseMs: LEASE_MS })
  // The loop stays as it was: only its consumer is wrapped.
  const stop = await consumePlainly({ ...setting, consumer: dedupSimpleConsumer(setting.consumer, dedup) })
  return async () => {
    await stop()
    await dedup.close()
  }
}

async function consumeTransactionally(setting: Setting): Promise<() => Promise<void>> {
  const { consumer: raw, books, sendReceipt } = setting
  const dedup = createDeduplicator({
    store: new SqliteStore({ database: books }),
    consumerGroup: CONSUMER_GROUP,
    strategy: 'transactional',
    leaseMs: LEASE_MS,
  })
  const consumer = await consume({
    consumer: raw,
    dedup,
    invisibleMs: INVISIBLE_MS,
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

function paymentOf(message: { body: Buffer }): Payment {
  return JSON.parse(message.body.toString()) as Payment
}
