// A worker of BullMQ whose jobs were added twice.
import { setTimeout } from 'node:timers/promises'
import { createDeduplicator, MemoryStore } from '@oncemq/core'
import { DelayedError, Queue, QueueEvents, Worker } from 'bullmq'

const { hostname: host, port } = new URL(process.env['REDIS_URL'] ?? '')
const connection = { host, port: Number(port) }
const name = `recipe-${process.pid}`
let failures = 1

async function mail(order: string): Promise<void> {
  if (order === 'order-8' && failures-- > 0) throw new Error('the mail server does not answer')
  console.log(`mailed ${order}`)
}

// #region worker
// A real service takes a store that outlives it, with a busyTimeoutMs below its worker's lockDuration.
const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'mail', busyTimeoutMs: 5000 })

const worker = new Worker<{ order: string }>(
  name,
  async (job, token) => {
    // The order's id, and not job.id: who adds a job again gets a new one.
    const { status, ...more } = await dedup.run(`mail:${job.data.order}`, () => mail(job.data.order))
    if (status !== 'busy') return
    await job.moveToDelayed(Date.now() + ('retryAfterMs' in more ? more.retryAfterMs : 1000), token)
    throw new DelayedError() // neither done nor failed
  },
  { connection, concurrency: 16 },
)
// #endregion
worker.on('error', () => undefined)

const queue = new Queue<{ order: string }>(name, { connection })
const events = new QueueEvents(name, { connection })
await events.waitUntilReady()
const attempts = { attempts: 3, backoff: { type: 'fixed', delay: 100 } }
const jobs = []
for (const order of ['order-7', 'order-7', 'order-8']) jobs.push(await queue.add('mail', { order }, attempts))
for (const job of jobs) await job.waitUntilFinished(events, 20_000)
await setTimeout(0)
const { completed, duplicate } = dedup.counts()
console.log(`${completed} done, ${duplicate} duplicate`)

await worker.close()
await queue.obliterate({ force: true })
await Promise.all([events.close(), queue.close()])
await dedup.close()
