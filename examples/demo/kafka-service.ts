import { consume, dedupEachMessage } from '@oncemq/kafka'
import type { Consumer, EachMessagePayload, Producer } from 'kafkajs'
import type { RunningService, ServicePlan } from './demo-broker.ts'
import { kafkaOf } from './kafka-client.ts'
import type { PaymentService, Ways } from './payment-service.ts'
import { killOwnProcess, leaseDedup, openService, transactionalDedup } from './payment-service.ts'
import { payments } from './payments.ts'
import { watchMember } from './watched-member.ts'

/** The least that Kafka allows, so that the partitions of a dead worker are given to another soon. */
const SESSION_MS = 6000
const HEARTBEAT_MS = 500
const FETCH_WAIT_MS = 200

interface Setting extends PaymentService {
  readonly consumer: Consumer
  readonly producer: Producer
}

type EachMessage = (payload: EachMessagePayload) => Promise<void>

const ways: Ways<Setting> = {
  none: consumePlainly,
  lease: consumeDeduplicated,
  transactional: consumeTransactionally,
}

/** Starts a payment service, in a process of its own. Its code is that of any consumer. */
export async function startKafkaService(plan: ServicePlan, url: string): Promise<RunningService> {
  const { promise: ended, resolve: end } = Promise.withResolvers<void>()
  const service = openService(plan, { crash: killOwnProcess, acksLost: end })
  const kafka = kafkaOf(url)
  const times = { sessionTimeout: SESSION_MS, heartbeatInterval: HEARTBEAT_MS }
  const raw = kafka.consumer({ groupId: plan.queue, ...times, maxWaitTimeInMs: FETCH_WAIT_MS })
  const consumer = watchMember(raw, service.watch)
  const producer = kafka.producer({ allowAutoTopicCreation: false })
  const stopConsuming = await ways[plan.protection]({ ...service, consumer, producer })
  return {
    ended,
    async stop() {
      await stopConsuming()
      await producer.disconnect()
      service.books.close()
    },
  }
}

async function consumePlainly(
  { plan, consumer, books, pay }: Setting,
  wrap = (handle: EachMessage): EachMessage => handle,
): Promise<() => Promise<void>> {
  const handle = wrap(({ message }) => pay(books, message.value))
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
  const dedup = leaseDedup(plan)
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
  const { plan, consumer: raw, producer, books, pay } = setting
  const dedup = transactionalDedup(books)
  const consumer = await consume({
    consumer: raw,
    producer,
    topics: [plan.queue],
    dedup,
    handler: ({ value }, { tx }) => pay(tx, value),
  })
  return async () => {
    await consumer.close()
    await dedup.close()
  }
}
