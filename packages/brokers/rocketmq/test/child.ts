// A worker that tests kill and stop: a managed consumer, or a deduplicated PushConsumer, with a SQLite store.
// Told to end by SIGTERM, it closes what it has and does not exit by force.
import { createDeduplicator } from '@oncemq/core'
import { SqliteStore } from '@oncemq/sqlite'
import rocketmq from 'rocketmq-client-nodejs'
import { stopClient, startClient, consume, dedupListener } from '../src/index.ts'

const { ConsumeResult, PushConsumer, SimpleConsumer } = rocketmq
/** Longer than the client's long poll. */
const CLOSE_MS = 6000
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
  const listener = {
    async consume(message: { body: Buffer }, context: { signal: AbortSignal }) {
      await handle(message, context)
      return ConsumeResult.SUCCESS
    },
  }
  const consumer = new PushConsumer({ ...base, messageListener: dedupListener(listener, dedup) })
  await startClient(consumer)
  closeAtTerm(() => stopClient(consumer, { timeoutMs: CLOSE_MS }))
} else {
  const raw = new SimpleConsumer(base)
  const options = { invisibleMs: 10_000, retry: { firstMs: 100 } }
  const consumer = await consume({ consumer: raw, dedup, ...options, handler: handle })
  closeAtTerm(() => consumer.close({ timeoutMs: CLOSE_MS }))
}
console.log('up')

function closeAtTerm(close: () => Promise<void>): void {
  process.once('SIGTERM', () => {
    void close()
      .catch((error: unknown) => console.log((error as { code?: string }).code))
      .then(() => dedup.close({ timeoutMs: CLOSE_MS }))
      .then(() => console.log('closed'))
  })
}
