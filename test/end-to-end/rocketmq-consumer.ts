// One consumer process on RocketMQ. It runs until it is told to stop, its parent is gone, or it is killed.
import { consume } from '@oncemq/rocketmq'
import type { MessageView } from 'rocketmq-client-nodejs'
import { SimpleConsumer } from 'rocketmq-client-nodejs'
import type { History } from './history.ts'
import type { MongodbAssignment } from './mongodb-worker.ts'
import { runOnMongodb } from './mongodb-worker.ts'
import { silent } from './rocketmq-topic.ts'
import { assignment } from './worker.ts'

const INVISIBLE_MS = 10_000
const POLL_MS = 1000
const CONCURRENCY = 8

const given = assignment<MongodbAssignment>()
const { topic, url } = given

await runOnMongodb(given, async ({ history }, dedup, handler) =>
  consume({
    consumer: watched(history),
    key: keyOf,
    concurrency: CONCURRENCY,
    invisibleMs: INVISIBLE_MS,
    dedup,
    handler,
  }),
)

/** Notes what is acked. */
function watched(history: History): SimpleConsumer {
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
    const key = keyOf(message) ?? ''
    history.append({ type: 'ack', pid: process.pid, key, message: message.messageId })
    await ack(message)
  }
  return consumer
}

function keyOf({ keys }: { readonly keys: readonly string[] }): string | undefined {
  return keys[0]
}
