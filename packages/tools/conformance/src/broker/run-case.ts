import { createHash, randomBytes } from 'node:crypto'
import { createDeduplicator, type Deduplicator, type DeduplicatorOptions } from '@oncemq/core'
import type { BrokerContext, SuiteDedupOptions } from './context.ts'
import type { BrokerSuiteOptions, ConsumeRequest, SuiteConsumer, SuiteDelivery } from './options.ts'
import type { BrokerCase } from './property.ts'
import type { SuiteStore } from './suite-store.ts'
import { SuiteMemoryStore } from './suite-store.ts'
import { type Latch, newLatch, waiting } from './waiting.ts'

const CONCURRENCY = 10
const WAIT_MS = 20_000
const QUIET_MS = 300
/** After its case a sound adapter has nothing left to wait for; a broken one may wait for ever. */
const CLEAN_UP_MS = 10_000
/** Retries soon, waits for busy keys soon: so that cases are quick. */
/** The keys of cases are those of the group, so that a case can ask for one without naming its queue. */
const QUICK = {
  leaseMs: 5000,
  outageHoldMs: 200,
  busyTimeoutMs: 5000,
  sweepEveryMs: 0,
  keyScope: 'group',
  logger: { warn: () => undefined },
} as const

/** Runs one case on a bench of its own, and closes what it opened. Answers why it was skipped, if it was. */
export async function runBrokerCase(
  options: BrokerSuiteOptions,
  testCase: BrokerCase,
): Promise<string | undefined> {
  const missing = [testCase.needs ?? []].flat().find((need) => options.lacks?.[need] !== undefined)
  if (missing !== undefined) return options.lacks?.[missing]
  const { waitMs = WAIT_MS, quietMs = QUIET_MS, openStore = () => new SuiteMemoryStore() } = options
  const bench = await options.open({ namespace: newNamespace(testCase.name) })
  const [dedups, consumers, seen]: [Deduplicator[], SuiteConsumer[], SuiteDelivery[]] = [[], [], []]
  const [store, latches]: [SuiteStore, Latch[]] = [openStore(), []]
  const deduplicator = (given: Partial<SuiteDedupOptions> = {}): Deduplicator => {
    const all = { store, consumerGroup: 'suite', ...QUICK, ...options.dedup, ...given }
    const dedup = createDeduplicator(all as DeduplicatorOptions)
    dedups.push(dedup)
    return dedup
  }
  const context: BrokerContext = {
    ...waiting(waitMs, quietMs),
    bench,
    store,
    seen,
    deduplicator,
    latch() {
      const latch = newLatch()
      latches.push(latch)
      return latch
    },
    async consume(request) {
      const defaults: Omit<ConsumeRequest, 'dedup'> = {
        concurrency: CONCURRENCY,
        handler: async (delivery) => void seen.push(delivery),
      }
      const consumer = await bench.consume({
        ...defaults,
        ...request,
        dedup: request.dedup ?? deduplicator(),
      })
      consumers.push(consumer)
      return consumer
    },
    async send(...messages) {
      for (const message of messages) {
        const [key, body = message] = message.split('=')
        await bench.send({ key, body })
      }
    },
  }
  try {
    await testCase.run(context)
  } finally {
    store.isDown = false
    store.isRefusing = false
    store.letGo()
    for (const latch of latches) latch.open()
    await Promise.allSettled(consumers.map((consumer) => consumer.close({ timeoutMs: CLEAN_UP_MS })))
    await Promise.allSettled(dedups.map((dedup) => dedup.close({ timeoutMs: 500 })))
    await bench.close()
  }
  return undefined
}

function newNamespace(name: string): string {
  return `b_${createHash('sha256').update(name).digest('hex').slice(0, 8)}_${randomBytes(6).toString('hex')}`
}
