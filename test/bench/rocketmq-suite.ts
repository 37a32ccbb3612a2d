import type { Deduplicator } from '@oncemq/core'
import { createDeduplicator } from '@oncemq/core'
import { stopClient, startClient, dedupListener, dedupSimpleConsumer } from '@oncemq/rocketmq'
import { service } from '@oncemq/test-services'
import { declareRocketmq, removeRocketmq } from '@oncemq/test-services/rocketmq'
import type { MessageView, SimpleConsumer as RawConsumer } from 'rocketmq-client-nodejs'
import rocketmq from 'rocketmq-client-nodejs'
import { interleaved, timed } from './measure.ts'
import type { Run, Variant } from './measure.ts'
import { reported } from './report.ts'
import type { Row } from './report.ts'
import type { Settings } from './settings.ts'
import type { BenchStore } from './stores/bench-store.ts'

const { ConsumeResult, Producer, PushConsumer, SimpleConsumer } = rocketmq
const SEND_AT_ONCE = 128
const RECEIVE_MAX = 32
const INVISIBLE_MS = 60_000
const POLL_MS = 500
/** How many polls of a SimpleConsumer are under way: it answers 32 messages at most. */
const POLLS = [4, 16]
const silent = { info() {}, warn() {}, error() {}, debug() {}, close() {} }

/** A way to consume: calls `settled` when a message is settled, and answers how to stop. */
export type Consume = (place: Place, settled: () => void) => Promise<() => Promise<void>>

export interface Place {
  readonly url: string
  readonly topic: string
}

interface Form {
  /** As the row's broker says it. */
  readonly broker: string
  readonly inFlight: readonly number[]
  readonly consume: (inFlight: number, dedup: Deduplicator | undefined) => Consume
}

const forms: readonly Form[] = [
  {
    broker: 'rocketmq-simple',
    inFlight: POLLS.map((polls) => polls * RECEIVE_MAX),
    consume: (inFlight, dedup) => polling(inFlight / RECEIVE_MAX, dedup),
  },
  // The client bounds what it works on by nothing but its cache.
  { broker: 'rocketmq-push', inFlight: [1024], consume: (inFlight, dedup) => pushed(inFlight, dedup) },
]

/**
 * The whole consumer on a real RocketMQ, set up to end quickly: the client alone, which does not deduplicate,
 * and the same code with oncemq's drop-in around its consumer or listener. Each run has a topic of its own.
 */
export async function benchRocketmq(
  stores: readonly BenchStore[],
  settings: Settings,
): Promise<readonly Row[]> {
  const { url } = await service('rocketmq-fast')
  const rows: Row[] = []
  for (const store of stores) {
    const opened = await store.open()
    const dedup = createDeduplicator({ store: opened.store, consumerGroup: 'bench', sweepEveryMs: 0 })
    await dedup.open()
    for (const { broker, inFlight, consume } of forms) {
      for (const count of inFlight) {
        const variants = [
          variant('raw', url, settings, consume(count, undefined)),
          variant('oncemq', url, settings, consume(count, dedup)),
        ]
        const runs = await interleaved(variants, settings.rounds)
        rows.push(...reported({ suite: 'consumer', broker, store: store.name, inFlight: count }, runs))
      }
    }
    await dedup.close()
    await opened.close()
  }
  return rows
}

let series = 0

/** A way to consume, with a full topic for each run. */
export function variant(name: string, url: string, { messages }: Settings, consume: Consume): Variant {
  return {
    name,
    async run() {
      series += 1
      const topic = `oncemq-bench-${process.pid}-${series}`
      await declareRocketmq(url, { topics: [{ name: topic, type: 'NORMAL' }], groups: [{ name: topic }] })
      await fill(url, topic, messages)
      const run = await emptied({ url, topic }, messages, consume)
      await removeRocketmq(url, { topics: [topic], groups: [topic] })
      return run
    },
  }
}

/** Times from the first settled message to the last, as a PushConsumer begins after a second of its own. */
async function emptied(place: Place, messages: number, consume: Consume): Promise<Run> {
  const [first, last] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  let count = 0
  const stop = await consume(place, () => {
    count += 1
    if (count === 1) first.resolve()
    if (count === messages) last.resolve()
  })
  await first.promise
  const before = count
  const run = await timed(async () => {
    await last.promise
    return messages - before
  })
  await stop()
  if (count > messages) throw new Error(`expected ${messages} messages, received ${count}`)
  return run
}

async function fill(url: string, topic: string, messages: number): Promise<void> {
  const producer = new Producer({ ...clientOptions(url), topics: [topic] })
  await startClient(producer)
  const body = Buffer.from(JSON.stringify({ account: 'a-1', cents: 1999 }))
  for (let number = 0; number < messages; number += SEND_AT_ONCE) {
    const chunk = Array.from({ length: Math.min(SEND_AT_ONCE, messages - number) }, (_, index) =>
      producer.send({ topic, body, keys: [`${topic}-${number + index}`] }),
    )
    await Promise.all(chunk)
  }
  await stopClient(producer)
}

export function simpleConsumer({ url, topic }: Place): RawConsumer {
  return new SimpleConsumer({ ...consumerOptions(url, topic), awaitDuration: POLL_MS })
}

/** The loop as the client's users write it, some of them side by side. */
export function polling(
  polls: number,
  dedup: Deduplicator | undefined,
  handle: (message: MessageView) => Promise<unknown> = async () => undefined,
): Consume {
  return async (place, settled) => {
    const raw = simpleConsumer(place)
    const consumer = dedup === undefined ? raw : dedupSimpleConsumer(raw, dedup)
    await startClient(raw)
    let isStopping = false
    const loop = async (): Promise<void> => {
      while (!isStopping) {
        const messages = await consumer.receive(RECEIVE_MAX, INVISIBLE_MS)
        await Promise.all(
          messages.map(async (message) => {
            await handle(message)
            await consumer.ack(message)
            settled()
          }),
        )
      }
    }
    const loops = Array.from({ length: polls }, loop)
    return async () => {
      isStopping = true
      await Promise.all(loops)
      await stopClient(raw)
    }
  }
}

/** What a listener has answered is acked by the client, so the last acks are not in the time of either. */
function pushed(cached: number, dedup: Deduplicator | undefined): Consume {
  return async ({ url, topic }, settled) => {
    const listener = { consume: async () => ConsumeResult.SUCCESS }
    const inner = dedup === undefined ? listener : dedupListener(listener, dedup, { concurrency: cached })
    const consumer = new PushConsumer({
      ...consumerOptions(url, topic),
      maxCacheMessageCount: cached,
      messageListener: {
        async consume(message) {
          const result = await inner.consume(message)
          settled()
          return result
        },
      },
    })
    await startClient(consumer)
    return () => stopClient(consumer, { timeoutMs: 60_000 })
  }
}

function clientOptions(url: string) {
  return { endpoints: new URL(url).host, namespace: '', logger: silent }
}

function consumerOptions(url: string, topic: string) {
  return { ...clientOptions(url), consumerGroup: topic, subscriptions: new Map([[topic, '*']]) }
}
