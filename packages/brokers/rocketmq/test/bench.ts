import type { BrokerBench, SuiteDeadLetter, SuiteQueue } from '@oncemq/conformance'
import { declareRocketmq } from '@oncemq/test-services/rocketmq'
import rocketmq from 'rocketmq-client-nodejs'
import { parkedProperties, startClient, stopClient } from '../src/index.ts'
import { type Around, consumers, type Form } from './bench-consumers.ts'
import { Ledger } from './ledger.ts'
import { silent } from './set-up.ts'
import { type Client, wire, type Wired } from './wire.ts'

const { Producer, SimpleConsumer } = rocketmq
const POLL_MS = 500
/** Longer than a look takes, so that no message is counted twice in it. */
const LOOK_HIDDEN_MS = 60_000
const PARKED_HIDDEN_MS = 10_000
/** Longer than the broker hides a message from others, and takes to notice that a consumer is gone. */
const HIDDEN_MAX_MS = 30_000

/** What the conformance suite works with: topics of one queue, since only a queue has an order. */
export async function openBench(url: string, topic: string, form: Form): Promise<BrokerBench> {
  const parking = `${topic}_parked`
  const second = `${topic}_second`
  const nameOf = (queue: SuiteQueue = 'first'): string => (queue === 'first' ? topic : second)
  const base = { namespace: '', logger: silent }
  const { host: endpoints } = new URL(url)
  await declareRocketmq(url, {
    topics: [topic, second, parking].map((name) => ({ name, type: 'NORMAL' as const, queues: 1 })),
    groups: [{ name: topic }, { name: second }, { name: parking }],
  })
  const optionsOf = (name: string) => ({
    ...base,
    consumerGroup: name,
    subscriptions: new Map([[name, '*']]),
    awaitDuration: POLL_MS,
  })
  const producer = new Producer({ ...base, endpoints, topics: [topic, second, parking] })
  const parked = new SimpleConsumer({ ...optionsOf(parking), endpoints })
  const letters: SuiteDeadLetter[] = []
  const ledger = new Ledger()
  const opened: Wired<Client>[] = []
  const around: Around = {
    optionsOf: (queue) => optionsOf(nameOf(queue)),
    producer,
    parking,
    async wire(make) {
      const wired = await wire(url, make)
      ledger.watch(wired)
      opened.push(wired)
      return wired
    },
  }
  await Promise.all([startClient(producer), startClient(parked)])
  return {
    async send({ key, body, queue }) {
      const keys = key === undefined ? {} : { keys: [key] }
      const { messageId } = await producer.send({ topic: nameOf(queue), body: Buffer.from(body), ...keys })
      ledger.sent(messageId)
    },
    consume: (request) => consumers[form](around, request),
    remaining: () => countIn(new SimpleConsumer({ ...optionsOf(topic), endpoints }), ledger.left),
    async deadLettered() {
      for (const message of await parked.receive(32, PARKED_HIDDEN_MS)) {
        letters.push(letterOf(message))
        await parked.ack(message)
      }
      return letters
    },
    async close() {
      await Promise.allSettled([stopClient(producer), stopClient(parked)])
      await Promise.all(opened.map((wired) => wired.close()))
    },
  }
}

function letterOf({ body, properties }: rocketmq.MessageView): SuiteDeadLetter {
  const text = (name: keyof typeof parkedProperties): string | undefined =>
    properties.get(parkedProperties[name])
  const attempts = text('attempts')
  return {
    body: body.toString(),
    reason: text('reason'),
    attempts: attempts === undefined ? undefined : Number(attempts),
    errorName: text('errorName'),
    errorMessage: text('errorMessage'),
  }
}

/**
 * How many messages there are to be received; they are given back. A message that nobody acked may be hidden
 * still, so as many as `expected` are waited for.
 */
async function countIn(consumer: InstanceType<typeof SimpleConsumer>, expected: number): Promise<number> {
  await startClient(consumer)
  const endMs = performance.now() + HIDDEN_MAX_MS
  const found = []
  for (let got; got === undefined || got.length > 0 || found.length < expected;) {
    got = await consumer.receive(32, LOOK_HIDDEN_MS)
    found.push(...got)
    if (performance.now() > endMs) break
  }
  for (const message of found) await consumer.changeInvisibleDuration(message, 1)
  await stopClient(consumer)
  if (found.length < expected) {
    throw new Error(`expected ${expected} messages that were not acked, received ${found.length} of them`)
  }
  return found.length
}
