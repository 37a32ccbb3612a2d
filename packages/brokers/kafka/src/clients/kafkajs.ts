import type { Clock } from '@oncemq/core/broker'
import type { RawConsumer } from './kafkajs-member.ts'
import { kafkajsMember } from './kafkajs-member.ts'
import type { RawProducer } from './kafkajs-producer.ts'
import { kafkajsProducer } from './kafkajs-producer.ts'
import { kafkajsTransactional } from './kafkajs-transactional.ts'
import type {
  ClientPort,
  NewTopic,
  PartitionOffsets,
  TopicAdmin,
  TopicPartition,
} from './port.ts'

/** How soon a partition that was full is fetched again. */
const FETCH_WAIT_MS = 500
const TOPIC = 2
/** A transaction waits for the one before it to be written down, which takes milliseconds. */
const TRANSACTION_RETRY = { initialRetryTime: 10, maxRetryTime: 1000, retries: 10 }

/** The `Kafka` object, as it is called here. */
export interface RawKafka {
  consumer(config: { groupId: string; maxWaitTimeInMs: number }): RawConsumer
  producer(config: {
    allowAutoTopicCreation: boolean
    transactionalId?: string
    transactionTimeout?: number
    maxInFlightRequests?: number
    retry?: { initialRetryTime: number; maxRetryTime: number; retries: number }
  }): RawProducer
  admin(): RawAdmin
}

interface RawAdmin {
  connect(): Promise<void>
  disconnect(): Promise<void>
  listTopics(): Promise<string[]>
  createTopics(options: {
    topics: readonly { topic: string; configEntries: readonly { name: string; value: string }[] }[]
    waitForLeaders: boolean
  }): Promise<unknown>
  fetchOffsets(options: {
    groupId: string
    topics: readonly string[]
  }): Promise<readonly { readonly partitions: readonly GroupOffset[] }[]>
  fetchTopicOffsets(
    topic: string,
  ): Promise<readonly { readonly partition: number; readonly low: string; readonly high: string }[]>
  describeConfigs(options: {
    includeSynonyms: boolean
    resources: readonly { type: number; name: string; configNames: readonly string[] }[]
  }): Promise<{ readonly resources: readonly { readonly configEntries: readonly ConfigEntry[] }[] }>
}

interface GroupOffset {
  readonly partition: number
  readonly offset: string
  readonly metadata: string | null
}

interface ConfigEntry {
  readonly configName: string
  readonly configValue: string
}

/** kafkajs, and clients with its API. */
export function kafkajs(client: RawKafka, clock: Clock): ClientPort {
  return {
    member: (groupId) => kafkajsMember(client.consumer({ groupId, maxWaitTimeInMs: FETCH_WAIT_MS }), clock),
    producer: () => kafkajsProducer(client.producer({ allowAutoTopicCreation: false })),
    transactional(transactionalId, timeoutMs) {
      // What a transaction sends is idempotent by itself; the client's option of that name is for the rest.
      const only = { maxInFlightRequests: 1, transactionTimeout: timeoutMs, retry: TRANSACTION_RETRY }
      const producer = client.producer({ allowAutoTopicCreation: false, transactionalId, ...only })
      return kafkajsTransactional(producer, clock)
    },
    admin: () => kafkajsAdmin(client.admin()),
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
    offsets: (groupId, place) => offsetsOf(admin, groupId, place),
    isAnswer(error) {
      const { name, errors } = error as { name?: unknown; errors?: unknown }
      return name === 'KafkaJSProtocolError' || Array.isArray(errors)
    },
    close: () => admin.disconnect().catch(() => undefined),
  }
}

async function offsetsOf(
  admin: RawAdmin,
  groupId: string,
  { topic, partition }: TopicPartition,
): Promise<PartitionOffsets> {
  const isIt = (each: { readonly partition: number }): boolean => each.partition === partition
  const [group] = await admin.fetchOffsets({ groupId, topics: [topic] })
  const { offset = '-1', metadata = null } = group?.partitions.find(isIt) ?? {}
  const { low = '0', high = '0' } = (await admin.fetchTopicOffsets(topic)).find(isIt) ?? {}
  // The client itself commits what is no offset, where it begins anew.
  const isOne = !offset.startsWith('-')
  const committed = isOne ? { offset: BigInt(offset), metadata: metadata ?? '' } : undefined
  return { committed, low: BigInt(low), high: BigInt(high) }
}
