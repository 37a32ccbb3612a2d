// What the pages show of a service around its consumer, run on the store in memory.
import { createServer } from 'node:http'
import { createDeduplicator, isOncemqError, MemoryStore, PermanentError, shutdown } from '@oncemq/core'

// To the stream of all else, so that the lines have one order.
const logger = { warn: console.log }
const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'billing', logger })
await dedup.open()

/** In the place of what `consume` answers, and of a client's connection. */
const consumer = {
  close: async () => console.log('the consumer is closed'),
  health: () => ({ isReceiving: true, sinceMs: 0, lastError: undefined }),
}
const connection = { close: async () => console.log('the connection is closed') }

// #region health
const probe = createServer((_, response) => {
  const [store, messages] = [dedup.health(), consumer.health()]
  response.statusCode = store.isReady && messages.isReceiving ? 200 : 503
  response.end(JSON.stringify({ store, messages }))
})
// #endregion
await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
const { port } = probe.address() as { port: number }
const answer = await fetch(`http://127.0.0.1:${port}`)
const { store } = (await answer.json()) as { store: { store: string; waiting: number } }
console.log(answer.status, store.store, store.waiting)

// #region alerts
let last = dedup.counts()

/** What happened since the last call that a person has to look at: call it each minute. */
function alerts(): string[] {
  const [before, now] = [last, dedup.counts()]
  last = now
  const counted = ['deadLettered', 'unprotected', 'conflict', 'unconfirmed', 'warning'] as const
  const risen = counted.filter((name) => now[name] > before[name])
  const { isReady, store, sinceMs } = dedup.health()
  return isReady || Date.now() - sinceMs < 60_000 ? risen : [...risen, `store ${store}`]
}
// #endregion
console.log(alerts())
await dedup.process({ key: undefined }, () => undefined)
dedup.deadLettered({ source: 'invoices', reason: 'attempts', attempt: 16 })
console.log(alerts(), alerts())

// #region other-client
/** Any client that hands over a message and is told what becomes of it. */
async function handled(id: string, body: Uint8Array): Promise<'ack' | 'again-later' | 'dead-letter'> {
  try {
    const { status } = await dedup.run(id, () => charge(body))
    return status === 'busy' || status === 'lost' ? 'again-later' : 'ack'
  } catch (error) {
    // A handler that throws, and a store that is down or refuses: delivered again, after a while.
    return isOncemqError(error) && FINAL.has(error.code) ? 'dead-letter' : 'again-later'
  }
}

const FINAL = new Set([
  'ONCEMQ_PERMANENT',
  'ONCEMQ_KEY_INVALID',
  'ONCEMQ_CONFLICT',
  'ONCEMQ_TRANSACTION_ENDED',
  'ONCEMQ_ATTEMPTS_EXHAUSTED',
])
// #endregion
async function charge(body: Uint8Array): Promise<void> {
  if (body.byteLength === 0) throw new PermanentError('nothing to charge')
  if (body.byteLength === 1) throw new Error('the bank does not answer')
}
for (const [id, length] of Object.entries({ a: 2, b: 0, c: 1, undefined: 2 }))
  console.log(id, await handled(id, new Uint8Array(length)))
console.log('a', await handled('a', new Uint8Array(2)))

// #region shutdown
async function stop(): Promise<void> {
  const failures = await shutdown({
    consumers: [consumer], // no message comes any more, and what runs ends
    deduplicators: [dedup], // with their stores
    clients: [connection, () => probe.close()],
    timeoutMs: 25_000, // less than the platform gives
  })
  for (const failure of failures) console.error(failure)
}
process.once('SIGTERM', () => void stop())
// #endregion
const running = dedup.run('user-7', async () => {
  process.kill(process.pid, 'SIGTERM')
  await new Promise((resolve) => void setTimeout(resolve, 50))
  console.log('the work that ran has ended')
})
console.log((await running).status)
