import { stopClient, startClient, consume, dedupSimpleConsumer } from '@oncemq/rocketmq'
import type { MessageView } from 'rocketmq-client-nodejs'
import { SimpleConsumer } from 'rocketmq-client-nodejs'
import type { RunningService, ServicePlan } from './demo-broker.ts'
import type { PaymentService, Ways } from './payment-service.ts'
import { killOwnProcess, leaseDedup, openService, transactionalDedup } from './payment-service.ts'
import { clientOptions } from './rocketmq-client.ts'
import { watchConsumer } from './watched-consumer.ts'

/** The least that RocketMQ allows, so that what a dead worker held comes again soon. */
const INVISIBLE_MS = 10_000
const RECEIVE_MAX = 16
/** A server as delivered refuses shorter polls. */
const POLL_MS = 5000

interface Setting extends PaymentService {
  readonly consumer: SimpleConsumer
}

const ways: Ways<Setting> = {
  none: consumePlainly,
  lease: consumeDeduplicated,
  transactional: consumeTransactionally,
}

/** Starts a payment service, in a process of its own. Its code is that of any consumer. */
export async function startRocketmqService(plan: ServicePlan, url: string): Promise<RunningService> {
  const { promise: ended, resolve: end } = Promise.withResolvers<void>()
  const service = openService(plan, { crash: killOwnProcess, acksLost: end })
  const raw = new SimpleConsumer({
    ...clientOptions(url),
    consumerGroup: plan.queue,
    subscriptions: new Map([[plan.queue, '*']]),
    awaitDuration: POLL_MS,
  })
  const consumer = watchConsumer(raw, service.watch)
  const stopConsuming = await ways[plan.protection]({ ...service, consumer })
  return {
    ended,
    async stop() {
      await stopConsuming()
      service.books.close()
    },
  }
}

async function consumePlainly({ consumer, books, pay }: Setting): Promise<() => Promise<void>> {
  const handle = async (message: MessageView): Promise<void> => {
    await pay(books, message.body)
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
  const dedup = leaseDedup(setting.plan)
  // The loop stays as it was: only its consumer is wrapped.
  const stop = await consumePlainly({ ...setting, consumer: dedupSimpleConsumer(setting.consumer, dedup) })
  return async () => {
    await stop()
    await dedup.close()
  }
}

async function consumeTransactionally(setting: Setting): Promise<() => Promise<void>> {
  const { consumer: raw, books, pay } = setting
  const dedup = transactionalDedup(books)
  const consumer = await consume({
    consumer: raw,
    dedup,
    invisibleMs: INVISIBLE_MS,
    handler: ({ body }, { tx }) => pay(tx, body),
  })
  return async () => {
    await consumer.close()
    await dedup.close()
  }
}
