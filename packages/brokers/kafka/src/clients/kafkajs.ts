import { OptionError } from '@oncemq/core'
import type { Clock } from '@oncemq/core/broker'
import type { OutgoingMessage } from '../client.ts'
import type { RawConsumer } from './kafkajs-member.ts'
import { kafkajsMember } from './kafkajs-member.ts'
import type {
  ClientPort,
  NewTopic,
  ProducerTransaction,
  RecordProducer,
  TopicAdmin,
  TransactionalProducer,
} from './port.ts'

/** How soon a partition that was full is fetched again. */
const FETCH_WAIT_MS = 500
/** All replicas that are in step have it. */
const ALL = -1
const GZIP = 1
const NONE = 0
const TOPIC = 2

/** The `Kafka` object, as it is called here. */
export interface RawKafka {
  consumer(config: { groupId: string; maxWaitTimeInMs: number }): RawConsumer
  producer(config: {
    allowAutoTopicCreation: boolean
    transactionalId?: string
    idempotent?: boolean
    maxInFlightRequests?: number
  }): RawProducer
  admin(): RawAdmin
}

/** A producer as it is called here. */
export interface RawProducer {
  connect(): Promise<void>
  disconnect(): Promise<void>
  send(record: {
    topic: string
    acks: number
    compression: number
    messages: readonly OutgoingMessage[]
  }): Promise<unknown>
  transaction(): Promise<RawTransaction>
}

interface RawTransaction {
  send(record: { topic: string; acks: number; messages: readonly OutgoingMessage[] }): Promise<unknown>
  sendOffsets(offsets: {
    consumerGroupId: string
    topics: readonly { topic: string; partitions: readonly { partition: number; offset: string }[] }[]
  }): Promise<void>
  commit(): Promise<void>
  abort(): Promise<void>
}

interface RawAdmin {
  connect(): Promise<void>
  disconnect(): Promise<void>
  listTopics(): Promise<string[]>
  createTopics(options: {
    topics: readonly { topic: string; configEntries: readonly { name: string; value: string }[] }[]
    waitForLeaders: boolean
  }): Promise<unknown>
  describeConfigs(options: {
    includeSynonyms: boolean
    resources: readonly { type: number; name: string; configNames: readonly string[] }[]
  }): Promise<{ readonly resources: readonly { readonly configEntries: readonly ConfigEntry[] }[] }>
}

interface ConfigEntry {
  readonly configName: string
  readonly configValue: string
}

/** kafkajs, and clients with its API. */
export function kafkajs(client: RawKafka, clock: Clock): ClientPort {
  return {
    member: (groupId) =>
      kafkajsMember(
        made(() => client.consumer({ groupId, maxWaitTimeInMs: FETCH_WAIT_MS })),
        clock,
      ),
    producer: () => kafkajsProducer(made(() => client.producer({ allowAutoTopicCreation: false }))),
    transactional(transactionalId) {
      const only = { idempotent: true, maxInFlightRequests: 1 }
      return kafkajsTransactional(
        client.producer({ allowAutoTopicCreation: false, transactionalId, ...only }),
      )
    },
    admin: () => kafkajsAdmin(client.admin()),
  }
}

/** A client that looks like kafkajs may take other options. @throws OptionError when it does. */
function made<Part>(make: () => Part): Part {
  try {
    return make()
  } catch (error) {
    const what = error instanceof Error ? error.name : typeof error
    throw new OptionError(
      `client: expected one that takes the options of kafkajs, received its refusal (${what}); ` +
        'pass kafkajs or @platformatic/kafka',
    )
  }
}

export function kafkajsProducer(producer: RawProducer): RecordProducer {
  const connected = connecting(producer)
  return {
    async send(topic, message, { compressed }) {
      await connected()
      await producer.send({
        topic,
        acks: ALL,
        compression: compressed ? GZIP : NONE,
        messages: [message],
      })
    },
    close: () => producer.disconnect().catch(() => undefined),
  }
}

/** Connecting twice is nothing to a client, so a producer of the user's may be connected already. */
function connecting(producer: Pick<RawProducer, 'connect'>): () => Promise<void> {
  let connected: Promise<void> | undefined
  return () => {
    connected ??= producer.connect().catch((error: unknown) => {
      connected = undefined
      throw error
    })
    return connected
  }
}

/** Offsets go by the group alone: the client tells neither generation nor member id with them. */
export function kafkajsTransactional(producer: RawProducer): TransactionalProducer {
  const connected = connecting(producer)
  return {
    async begin(): Promise<ProducerTransaction> {
      await connected()
      const transaction = await producer.transaction()
      return {
        send: async (topic, messages) => void (await transaction.send({ topic, acks: ALL, messages })),
        sendOffsets: (consumerGroupId, _, offsets) =>
          transaction.sendOffsets({
            consumerGroupId,
            topics: offsets.map(({ topic, partition, offset }) => ({
              topic,
              partitions: [{ partition, offset }],
            })),
          }),
        commit: () => transaction.commit(),
        abort: () => transaction.abort(),
      }
    },
    close: () => producer.disconnect().catch(() => undefined),
  }
}

export function kafkajsAdmin(admin: RawAdmin): TopicAdmin {
  return {
    connect: () => admin.connect(),
    topics: async () => new Set(await admin.listTopics()),
    async config(name, configName) {
      const resources = [{ type: TOPIC, name, configNames: [configName] }]
      const answer = await admin.describeConfigs({ includeSynonyms: false, resources })
      return answer.resources[0]?.configEntries.find((entry) => entry.configName === configName)?.configValue
    },
    async create(topics: readonly NewTopic[]) {
      const raw = topics.map(({ topic, config }) => ({
        topic,
        configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
      }))
      // The client's own wait for their leaders fails on a broker that makes topics in the background.
      await admin.createTopics({ topics: raw, waitForLeaders: false })
    },
    isAnswer(error) {
      const { name, errors } = error as { name?: unknown; errors?: unknown }
      return name === 'KafkaJSProtocolError' || Array.isArray(errors)
    },
    close: () => admin.disconnect().catch(() => undefined),
  }
}
