import type { TopicPartition } from './port.ts'

/** The parts of `@platformatic/kafka` that are called here. */
export interface RawPlatformatic {
  readonly Consumer: new (options: object) => RawPlatformaticConsumer
  readonly Producer: new (options: object) => RawPlatformaticProducer
  readonly Admin: new (options: object) => RawPlatformaticAdmin
  readonly options: object
}

export interface RawPlaces {
  readonly topic: string
  readonly partitions: number[]
}

export interface RawMetadata {
  readonly topics: ReadonlyMap<
    string,
    | {
        readonly id: string
        readonly partitionsCount: number
        readonly partitions: readonly { readonly leader: number }[]
      }
    | undefined
  >
}

export interface RawRecord {
  readonly offsetDelta: number
  readonly timestampDelta: bigint
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly (readonly [Buffer | null, Buffer | null])[]
}

export interface RawBatch {
  readonly firstOffset: bigint
  readonly lastOffsetDelta: number
  readonly attributes: number
  readonly firstTimestamp: bigint
  readonly maxTimestamp: bigint
  readonly producerId: bigint
  readonly records: readonly RawRecord[]
}

export interface RawFetchedPartition {
  readonly partitionIndex: number
  readonly errorCode: number
  readonly abortedTransactions:
    | readonly { readonly producerId: bigint; readonly firstOffset: bigint }[]
    | null
  readonly records?: readonly RawBatch[] | null
}

export interface RawFetched {
  readonly responses: readonly {
    readonly topicId: string
    readonly partitions: readonly RawFetchedPartition[]
  }[]
}

export interface RawFetchTopic {
  readonly topicId: string
  readonly partitions: {
    readonly partition: number
    readonly fetchOffset: bigint
    readonly partitionMaxBytes: number
    readonly currentLeaderEpoch: number
    readonly lastFetchedEpoch: number
  }[]
}

export interface RawPlatformaticConsumer {
  readonly groupId: string
  readonly memberId: string | null
  readonly generationId: number
  readonly assignments: readonly RawPlaces[] | null
  readonly topics: { readonly current: readonly string[]; track(topic: string): boolean }
  on(event: string, listener: (payload: never) => void): unknown
  off(event: string, listener: (payload: never) => void): unknown
  joinGroup(options: object): Promise<unknown>
  leaveGroup(force: boolean): Promise<unknown>
  commit(options: {
    offsets: readonly (TopicPartition & { offset: bigint; leaderEpoch: number })[]
  }): Promise<void>
  metadata(options: { topics: readonly string[] }): Promise<RawMetadata>
  fetch(options: { node: number; topics: readonly RawFetchTopic[]; maxWaitTime: number }): Promise<RawFetched>
  listCommittedOffsets(options: {
    topics: readonly RawPlaces[]
  }): Promise<ReadonlyMap<string, readonly bigint[]>>
  listOffsets(options: {
    topics: readonly string[]
    partitions: Readonly<Record<string, number[]>>
    timestamp: bigint
  }): Promise<ReadonlyMap<string, readonly bigint[]>>
  close(force: boolean): Promise<void>
}

export interface RawOutgoing {
  readonly topic: string
  readonly key: Buffer | undefined
  readonly value: Buffer | null
  readonly headers: ReadonlyMap<Buffer, Buffer>
}

export interface RawPlatformaticProducer {
  send(options: {
    messages: readonly RawOutgoing[]
    acks: number
    compression: 'gzip' | 'none'
  }): Promise<unknown>
  close(force: boolean): Promise<void>
}

export interface RawPlatformaticAdmin {
  listTopics(): Promise<readonly string[]>
  createTopics(options: {
    topics: readonly string[]
    configs: readonly { name: string; value: string }[]
  }): Promise<unknown>
  describeConfigs(options: {
    resources: readonly { resourceType: number; resourceName: string; configurationKeys: string[] }[]
  }): Promise<
    readonly { readonly configs: readonly { readonly name: string; readonly value: string | null }[] }[]
  >
  close(): Promise<void>
}

/** An error of the client, which tells of those that it has for a cause. */
interface RawError {
  findBy(property: string, value: unknown): unknown
}

/** Whether an error of the client, or one within it, has this property. */
export function has(error: unknown, property: string, value: unknown): boolean {
  const { findBy } = (error ?? {}) as Partial<RawError>
  return typeof findBy === 'function' && Boolean(findBy.call(error, property, value))
}
