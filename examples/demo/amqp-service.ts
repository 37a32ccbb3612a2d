/* oxlint-disable typescript/no-misused-promises -- consumers of amqplib are async callbacks everywhere */
import type { DatabaseSync } from 'node:sqlite'
import type { Channel, ChannelModel } from 'amqplib'
import type { Clock } from '@oncemq/core/store'
import { consume, dedupChannel } from '@oncemq/rabbitmq'
import type { RunningService, ServicePlan } from './demo-broker.ts'
import type { PaymentService, Ways } from './payment-service.ts'
import { leaseDedup, openService, transactionalDedup } from './payment-service.ts'
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

interface Setting extends PaymentService {
  readonly channel: Channel
  readonly clock: Clock
}

const ways: Ways<Setting> = {
  none: consumePlainly,
  lease: consumeDeduplicated,
  transactional: consumeTransactionally,
}

/** Starts a payment service. Its code is that of any consumer. */
export async function startAmqpService(plan: ServicePlan, place: Place): Promise<RunningService> {
  const connection = await place.connect()
  const ended = new Promise<void>((resolve) => connection.once('close', () => resolve()))
  connection.on('error', () => undefined)
  const service = openService(plan, {
    crash: (books) => place.crash(connection, books),
    acksLost: () => place.cut(connection),
  })
  const channel = watch(await connection.createChannel(), service.watch)
  const stopConsuming = await ways[plan.protection]({ ...service, channel, clock: place.clock })
  return {
    ended,
    async stop() {
      // A crash that comes first leaves nothing to be stopped.
      const isAlive = await Promise.race([stopConsuming().then(() => true), ended.then(() => false)])
      if (!isAlive) return
      await connection.close()
      service.books.close()
    },
  }
}

async function consumePlainly({ plan, channel, books, pay }: Setting): Promise<() => Promise<void>> {
  await channel.prefetch(PREFETCH)
  await channel.consume(plan.queue, async (message) => {
    if (message === null) return
    await pay(books, message.content)
    channel.ack(message)
  })
  return async () => undefined
}

async function consumeDeduplicated(setting: Setting): Promise<() => Promise<void>> {
  const dedup = leaseDedup(setting.plan, setting.clock)
  // The consumer stays as it was: only its channel is wrapped.
  await consumePlainly({ ...setting, channel: dedupChannel(setting.channel, dedup) })
  return () => dedup.close()
}

async function consumeTransactionally(setting: Setting): Promise<() => Promise<void>> {
  const { plan, channel, books, clock, pay } = setting
  const dedup = transactionalDedup(books, clock)
  const consumer = await consume({
    channel,
    queue: plan.queue,
    dedup,
    handler: ({ content }, { tx }) => pay(tx, content),
  })
  return async () => {
    await consumer.close()
    await dedup.close()
  }
}
