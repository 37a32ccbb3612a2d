// A worker that tests kill and stop: a managed consumer, or a deduplicated PushConsumer, with a SQLite store.
import { createDeduplicator } from '@oncemq/core'
import { SqliteStore } from '@oncemq/sqlite'
import rocketmq from 'rocketmq-client-nodejs'
import { checkedStartup, consume, dedupListener } from '../src/index.ts'

const { ConsumeResult, PushConsumer, SimpleConsumer } = rocketmq
const environment = (name: string): string => process.env[name] ?? ''
const silent = { info() {}, warn() {}, error() {}, debug() {}, close() {} }

const dedup = createDeduplicator({
  store: new SqliteStore({ path: environment('STORE') }),
  consumerGroup: 'worker',
  leaseMs: 3000,
})
dedup.on('lost', () => console.log('lost'))
const base = {
  endpoints: new URL(environment('ROCKETMQ_URL')).host,
  namespace: '',
  consumerGroup: environment('GROUP'),
  subscriptions: new Map([[environment('TOPIC'), '*']]),
  awaitDuration: Number(environment('POLL_MS')),
  logger: silent,
}

async function handle({ body }: { body: Buffer }, { signal }: { signal: AbortSignal }): Promise<void> {
  console.log(`start ${body.toString()}`)
  await new Promise((resolve) => setTimeout(resolve, Number(environment('HANDLER_MS'))))
  console.log(`${signal.aborted ? 'stopped' : 'done'} ${body.toString()}`)
}

if (environment('FORM') === 'push') {
  // #region push
  const listener = {
    async consume(message: { body: Buffer }, context: { signal: AbortSignal }) {
      await handle(message, context)
      return ConsumeResult.SUCCESS
    },
  }
  const consumer = new PushConsumer({ ...base, messageListener: dedupListener(listener, dedup) })
  await checkedStartup(consumer)
  // #endregion
} else {
  const consumer = new SimpleConsumer(base)
  await consume({ consumer, dedup, invisibleMs: 10_000, retry: { firstMs: 100 }, handler: handle })
}
console.log('up')
