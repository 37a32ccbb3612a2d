import { connect } from 'node:net'
import type {
  BrokerBench,
  ConsumeRequest,
  SuiteConsumer,
  SuiteDeadLetter,
  SuiteDelivery,
  SuiteQueue,
} from '@oncemq/conformance'
import { declareKafka } from '@oncemq/test-services/kafka'
import { FaultProxy } from '@oncemq/test-services/proxy'
import type { Admin, ConsumerRunConfig, EachBatchPayload, EachMessagePayload } from 'kafkajs'
import type { KafkaMessage as KafkaRecord, Producer } from 'kafkajs'
import { Kafka, logLevel } from 'kafkajs'
import type { ConsumeOptions, KafkaMessage } from '../src/index.ts'
import { consume, dedupEachBatch, dedupEachMessage, header, parkedHeaders } from '../src/index.ts'
import { platformaticOf } from './platformatic.ts'

const SOON_MS = 50
const RETRY = { firstMs: SOON_MS, factor: 1 }
/** How soon a member that is cut off is no member any more. */
const SESSION_MS = 3000
const HEARTBEAT_MS = 500
const FETCH_WAIT_MS = 100
const UNTOLD = { epoch: 0, attempt: 0, signal: new AbortController().signal }
/** The suite sends messages without a key, too. */
const key = header('id')

/** What the conformance suite works with: topics of one partition, since only a partition has an order. */
export async function openBench(url: string, topic: string, form: Form): Promise<BrokerBench> {
  const { host } = new URL(url)
  const parking = `${topic}.parked`
  const second = `${topic}_second`
  const nameOf = (queue: SuiteQueue = 'first'): string => (queue === 'first' ? topic : second)
  const kafka = clientOf(host)
  const [admin, producer] = [kafka.admin(), kafka.producer({ allowAutoTopicCreation: false })]
  const letters: SuiteDeadLetter[] = []
  const proxies: FaultProxy[] = []
  await Promise.all([admin.connect(), producer.connect()])
  await declareKafka(url, [{ name: topic }, { name: second }, { name: parking }])
  const reader = kafka.consumer({ groupId: `${topic}_letters`, maxWaitTimeInMs: FETCH_WAIT_MS })
  await reader.subscribe({ topics: [parking], fromBeginning: true })
  await reader.run({ eachMessage: async ({ message }) => void letters.push(letterOf(message)) })
  return {
    async send({ key: id, body, queue }) {
      const headers = id === undefined ? {} : { id }
      await producer.send({ topic: nameOf(queue), messages: [{ key: null, value: body, headers }] })
    },
    async consume(request) {
      const proxy = await FaultProxy.open(`tcp://${host}`)
      proxies.push(proxy)
      const name = nameOf(request.queue)
      return consumers[form](proxy, request, { topic: name, group: name, parking })
    },
    remaining: () => uncommitted(admin, topic),
    deadLettered: async () => letters,
    async close() {
      await Promise.allSettled([reader.disconnect(), producer.disconnect(), admin.disconnect()])
      await Promise.all(proxies.map((proxy) => proxy.close()))
    },
  }
}

type Start = (proxy: FaultProxy, request: ConsumeRequest, place: Place) => Promise<SuiteConsumer>

export type Form = 'managed' | 'platformatic' | 'eachMessage' | 'eachBatch'

/** The forms, each as its users write it. */
const consumers: Readonly<Record<Form, Start>> = {
  managed,
  platformatic,
  eachMessage,
  eachBatch,
}

interface Place {
  readonly topic: string
  readonly group: string
  readonly parking: string
}

async function managed(proxy: FaultProxy, request: ConsumeRequest, place: Place): Promise<SuiteConsumer> {
  const kafka = clientOf(`127.0.0.1:${proxy.port}`, proxy.port)
  const times = { sessionTimeout: SESSION_MS, heartbeatInterval: HEARTBEAT_MS }
  return started(proxy, request, place, {
    consumer: kafka.consumer({ groupId: place.group, ...times, maxWaitTimeInMs: FETCH_WAIT_MS }),
    producer: kafka.producer({ allowAutoTopicCreation: false }),
  })
}

async function platformatic(
  proxy: FaultProxy,
  request: ConsumeRequest,
  place: Place,
): Promise<SuiteConsumer> {
  const { port } = proxy
  return started(proxy, request, place, {
    client: platformaticOf('', { port, groupId: place.group, sessionTimeout: SESSION_MS }),
  })
}

async function started(
  proxy: FaultProxy,
  { dedup, handler, concurrency, middleware }: ConsumeRequest,
  { topic, parking }: Place,
  client: Pick<ConsumeOptions, 'client' | 'consumer' | 'producer'>,
): Promise<SuiteConsumer> {
  const asked = async <Outcome>(message: KafkaMessage, next: () => Promise<Outcome>): Promise<Outcome> => {
    await middleware?.(textOf(message))
    return next()
  }
  const consumer = await consume({
    ...client,
    topics: [topic],
    parkingTopic: () => parking,
    key,
    dedup,
    // What waits must not stop the others here.
    ordering: 'none',
    concurrency,
    retry: RETRY,
    middlewares: middleware === undefined ? [] : [asked],
    handler: (message, context) => handler(deliveryOf(message, context)),
  })
  return { close: (given) => consumer.close(given), cut: async () => proxy.refuse() }
}

function eachMessage(
  proxy: FaultProxy,
  { dedup, handler }: ConsumeRequest,
  { topic, group, parking }: Place,
): Promise<SuiteConsumer> {
  return dropIn(proxy, { topic, group }, (producer, signal) => ({
    eachMessage: dedupEachMessage<EachMessagePayload>(
      ({ message: { value, offset, headers }, partition }, context) => {
        const record = { topic, partition, offset, key: null, value, headers: headers ?? {}, timestamp: '' }
        return handler(deliveryOf(record, context))
      },
      dedup,
      { key, producer, parkingTopic: () => parking, retry: RETRY, signal },
    ),
  }))
}

/** Its handler is not told more than the batch says, and resolves each record when it is done with it. */
function eachBatch(
  proxy: FaultProxy,
  { dedup, handler }: ConsumeRequest,
  { topic, group, parking }: Place,
): Promise<SuiteConsumer> {
  return dropIn(proxy, { topic, group }, (producer, signal) => ({
    eachBatch: dedupEachBatch<EachBatchPayload>(
      async (payload) => {
        const { messages, partition } = payload.batch
        for (const { value, offset, headers = {} } of messages) {
          const record = { topic, partition, offset, key: null, value, headers, timestamp: '' }
          await handler(deliveryOf(record, { ...UNTOLD, key: headers['id']?.toString() }))
          payload.resolveOffset(offset)
        }
      },
      dedup,
      { key, producer, parkingTopic: () => parking, signal },
    ),
  }))
}

async function dropIn(
  proxy: FaultProxy,
  { topic, group }: Omit<Place, 'parking'>,
  run: (producer: Producer, signal: AbortSignal) => ConsumerRunConfig,
): Promise<SuiteConsumer> {
  const kafka = clientOf(`127.0.0.1:${proxy.port}`, proxy.port)
  const times = { sessionTimeout: SESSION_MS, heartbeatInterval: HEARTBEAT_MS }
  const consumer = kafka.consumer({ groupId: group, ...times, maxWaitTimeInMs: FETCH_WAIT_MS })
  const producer = kafka.producer({ allowAutoTopicCreation: false })
  const closing = new AbortController()
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run(run(producer, closing.signal))
  let closed: Promise<void> | undefined
  const close = async (): Promise<void> => {
    closing.abort()
    await consumer.disconnect()
    await producer.disconnect()
  }
  return { close: () => (closed ??= close()), cut: async () => proxy.refuse() }
}

/**
 * The broker tells its own address, and a client goes there past the proxy: so each connection is given its
 * port.
 */
function clientOf(host: string, port?: number): Kafka {
  const retry = { initialRetryTime: 50, maxRetryTime: 500, retries: 30 }
  return new Kafka({
    brokers: [host],
    retry,
    logLevel: logLevel.NOTHING,
    ...(port !== undefined && {
      socketFactory: ({ onConnect }) => connect({ port, host: '127.0.0.1' }, onConnect),
    }),
  })
}

function deliveryOf(
  message: KafkaMessage,
  { key: id, epoch, attempt, signal }: Pick<SuiteDelivery, 'key' | 'epoch' | 'attempt' | 'signal'>,
): SuiteDelivery {
  const { topic, partition, offset, headers } = message
  const named = Object.entries(headers).map(([name, value]) => [name, String(value)])
  return {
    body: textOf(message),
    key: id,
    epoch,
    attempt,
    signal,
    arrival: JSON.stringify([topic, partition, offset, named]),
    spoil() {
      message.value?.fill('!')
      Object.assign(message.headers, { id: 'spoilt', spoilt: 'yes' })
    },
  }
}

function letterOf({ value, headers = {} }: KafkaRecord): SuiteDeadLetter {
  const text = (name: keyof typeof parkedHeaders): string | undefined =>
    headers[parkedHeaders[name]]?.toString()
  const attempts = text('attempts')
  return {
    body: value?.toString() ?? '',
    reason: text('reason'),
    attempts: attempts === undefined ? undefined : Number(attempts),
    errorName: text('errorName'),
    errorMessage: text('errorMessage'),
  }
}

/** How many records are after the offset that the group has committed. */
async function uncommitted(admin: Admin, topic: string): Promise<number> {
  const [[end], [group]] = await Promise.all([
    admin.fetchTopicOffsets(topic),
    admin.fetchOffsets({ groupId: topic, topics: [topic] }),
  ])
  const committed = Number(group?.partitions[0]?.offset ?? -1)
  return Number(end?.high) - Math.max(0, committed)
}

function textOf({ value }: KafkaMessage): string {
  return value?.toString() ?? ''
}
