/* oxlint-disable typescript/no-misused-promises -- consumers of amqplib are async callbacks everywhere */
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { Channel, ChannelModel } from 'amqplib'
import type { Clock } from '@oncemq/core/store'
import { createDeduplicator } from '@oncemq/core'
import { consume, dedupChannel } from '@oncemq/rabbitmq'
import { SqliteStore } from '@oncemq/sqlite'
import { charge, openBooks } from './books.ts'
import { countdown } from './countdown.ts'
import type { RunningService, ServicePlan } from './demo-broker.ts'
import { CONSUMER_GROUP, LEASE_MS } from './demo-broker.ts'
import { Journal } from './journal.ts'
import type { Payment } from './payments.ts'
import { payments } from './payments.ts'
import { watch } from './watched-channel.ts'

const PREFETCH = 20

/** What differs between a service in a process of its own and one beside others in this process. */
export interface Place {
  readonly clock: Clock
  connect(): Promise<ChannelModel>
  /** Dies at once: nothing more is run, and nobody is told. */
  crash(connection: ChannelModel, books: DatabaseSync): Promise<never>
  /** Breaks the connection without a farewell. */
  cut(connection: ChannelModel): void
}

interface Setting {
  readonly plan: ServicePlan
  readonly channel: Channel
  readonly books: DatabaseSync
  readonly clock: Clock
  /** What a handler does after the charge. A crash lies in it, where the plan has one. */
  readonly sendReceipt: () => Promise<void>
}

/** Starts a payment service. Its code is that of any consumer; the faults of the plan stand around it. */
export async function startAmqpService(plan: ServicePlan, place: Place): Promise<RunningService> {
  const connection = await place.connect()
  const ended = new Promise<void>((resolve) => connection.once('close', () => resolve()))
  connection.on('error', () => undefined)
  const books = openBooks(join(plan.folder, 'books.db'))
  const allDelivered = countdown(payments.length)
  const channel = watch(await connection.createChannel(), {
    journal: new Journal(join(plan.folder, 'journal')),
    delivered: allDelivered.down,
    ...(plan.fault === 'ack-lost' && {
      losesAcks: { messages: payments.length, lost: () => place.cut(connection) },
    }),
  })
  const sendReceipt = async (): Promise<void> => {
    if (plan.fault !== 'crash') return
    // All of them are in the middle of their work: the moment at which a crash hurts most.
    await allDelivered.reached
    await place.crash(connection, books)
  }
  const stopConsuming = await startConsuming({ plan, channel, books, clock: place.clock, sendReceipt })
  return {
    ended,
    async stop() {
      // A crash that comes first leaves nothing to be stopped.
      const isAlive = await Promise.race([stopConsuming().then(() => true), ended.then(() => false)])
      if (!isAlive) return
      await connection.close()
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

async function consumePlainly({ plan, channel, books, sendReceipt }: Setting): Promise<() => Promise<void>> {
  await channel.prefetch(PREFETCH)
  await channel.consume(plan.queue, async (message) => {
    if (message === null) return
    charge(books, paymentOf(message))
    await sendReceipt()
    channel.ack(message)
  })
  return async () => undefined
}

async function consumeDeduplicated(setting: Setting): Promise<() => Promise<void>> {
  const { plan, clock } = setting
  const store = new SqliteStore({ path: join(plan.folder, 'oncemq.db'), clock })
  const dedup = createDeduplicator({ store, consumerGroup: CONSUMER_GROUP, leaseMs: LEASE_MS, clock })
  // The consumer stays as it was: only its channel is wrapped.
  await consumePlainly({ ...setting, channel: dedupChannel(setting.channel, dedup) })
  return () => dedup.close()
}

async function consumeTransactionally(setting: Setting): Promise<() => Promise<void>> {
  const { plan, channel, books, clock, sendReceipt } = setting
  const dedup = createDeduplicator({
    store: new SqliteStore({ database: books, clock }),
    consumerGroup: CONSUMER_GROUP,
    strategy: 'transactional',
    leaseMs: LEASE_MS,
    clock,
  })
  const consumer = await consume({
    channel,
    queue: plan.queue,
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

function paymentOf(message: { content: Buffer }): Payment {
  return JSON.parse(message.content.toString()) as Payment
}
