import type { RawConsumer } from './kafkajs-member.ts'
import type { RawProducer } from './kafkajs-producer.ts'

/** The `Kafka` object, as it is called here. */
export interface RawKafka {
  consumer(config: { groupId: string; maxWaitTimeInMs: number; maxBytesPerPartition: number }): RawConsumer
  producer(config: {
    allowAutoTopicCreation: boolean
    transactionalId?: string
    transactionTimeout?: number
    maxInFlightRequests?: number
    retry?: { initialRetryTime: number; maxRetryTime: number; retries: number }
  }): RawProducer
  admin(): RawAdmin
}

export interface RawAdmin {
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
