import type { BrokerBench, ConsumeRequest, SuiteConsumer } from '@oncemq/conformance'
import { declareRocketmq } from '@oncemq/test-services/rocketmq'
import rocketmq from 'rocketmq-client-nodejs'
import { checkedShutdown, checkedStartup, consume, messageKeys } from '../src/index.ts'
import { silent } from './set-up.ts'

const { Producer, SimpleConsumer } = rocketmq
const POLL_MS = 500
const INVISIBLE_MS = 10_000
/** The bodies of the suite have no topic in their keys. */
const key = messageKeys({ topic: false, without: 'none' })

/** What the conformance suite works with: a topic of one queue, since only a queue has an order. */
export async function openBench(url: string, topic: string): Promise<BrokerBench> {
  const parking = `${topic}_parked`
  const base = { endpoints: new URL(url).host, namespace: '', logger: silent }
  await declareRocketmq(url, {
    topics: [topic, parking].map((name) => ({ name, type: 'NORMAL' as const, queues: 1 })),
    groups: [{ name: topic }, { name: parking }],
  })
  const simple = (name: string, awaitDuration = POLL_MS) =>
    new SimpleConsumer({ ...base, consumerGroup: name, subscriptions: new Map([[name, '*']]), awaitDuration })
  const producer = new Producer({ ...base, topics: [topic, parking] })
  const parked = simple(parking)
  const bodies: string[] = []
  await Promise.all([checkedStartup(producer), checkedStartup(parked)])
  const shared = { key: (message: Parameters<typeof key>[0]) => key(message)?.slice(1), producer }

  async function managed({ dedup, handler, concurrency }: ConsumeRequest): Promise<SuiteConsumer> {
    const { raw, cut } = cuttable(simple(topic))
    const consumer = await consume({
      ...shared,
      consumer: raw,
      dedup,
      concurrency,
      invisibleMs: INVISIBLE_MS,
      retry: { firstMs: 50, factor: 1 },
      handler: ({ body }, context) => handler({ body: body.toString(), ...pick(context) }),
    })
    return {
      close: () => consumer.close(),
      cut,
    }
  }

  return {
    async send({ key: id, body }) {
      await producer.send({ topic, body: Buffer.from(body), ...(id === undefined ? {} : { keys: [id] }) })
    },
    consume: managed,
    remaining: () => countIn(simple(topic)),
    async deadLettered() {
      for (const message of await parked.receive(32, INVISIBLE_MS)) {
        bodies.push(message.body.toString())
        await parked.ack(message)
      }
      return bodies
    },
    async close() {
      await Promise.allSettled([checkedShutdown(producer), checkedShutdown(parked)])
    },
  }
}

/** How many messages are there to be received; they are given back. */
async function countIn(consumer: Raw): Promise<number> {
  await checkedStartup(consumer)
  const left = []
  for (let got; got === undefined || got.length > 0;) {
    got = await consumer.receive(32, INVISIBLE_MS)
    left.push(...got)
  }
  for (const message of left) await consumer.changeInvisibleDuration(message, 1)
  await checkedShutdown(consumer)
  return left.length
}

type Raw = InstanceType<typeof SimpleConsumer>

/** Calls fail once the network is cut, and what is on its way then is lost on its way. */
function cuttable(raw: Raw): { raw: Raw; cut: () => Promise<void> } {
  const receive = raw.receive.bind(raw)
  const unreachable = (): Promise<never> => Promise.reject(new Error('the network is cut'))
  let isCut = false
  raw.receive = async (...args) => {
    const messages = await receive(...args)
    return isCut ? unreachable() : messages
  }
  return {
    raw,
    async cut() {
      isCut = true
      Object.assign(raw, { receive: unreachable, ack: unreachable, changeInvisibleDuration: unreachable })
    },
  }
}

function pick({ key: id, epoch, attempt, signal }: Omit<Parameters<ConsumeRequest['handler']>[0], 'body'>) {
  return { key: id, epoch, attempt, signal }
}
