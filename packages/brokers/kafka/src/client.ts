/**
 * What a user passes of a client, by structure, and records as all clients have them. No type of a client
 * stands in a public signature, so that its declarations are not needed to read ours.
 */

/** A header's value as a client delivers it. */
export type HeaderValue = Buffer | string | readonly (Buffer | string)[] | undefined

/** A record as it is consumed. */
export interface KafkaMessage {
  readonly topic: string
  readonly partition: number
  /** A whole number of up to 64 bits. */
  readonly offset: string
  readonly key: Buffer | null
  /** `null` for a tombstone. */
  readonly value: Buffer | null
  readonly headers: Readonly<Record<string, HeaderValue>>
  /** Milliseconds since 1970, as text. */
  readonly timestamp: string
}

/** A record as kafkajs hands it over: its topic and partition stand beside it. */
export interface ClientMessage {
  readonly offset: string
  readonly key?: Buffer | null
  readonly value?: Buffer | null
  readonly headers?: Readonly<Record<string, HeaderValue>> | undefined
  readonly timestamp: string
}

export interface CommittedOffset {
  readonly topic: string
  readonly partition: number
  readonly offset: string
  /** What the group keeps with it. */
  readonly metadata?: string
}

/** What `eachMessage` gets. */
export interface EachMessage {
  readonly topic: string
  readonly partition: number
  readonly message: ClientMessage
  heartbeat(): Promise<void>
}

/** What `eachBatch` gets. */
export interface EachBatch {
  readonly batch: {
    readonly topic: string
    readonly partition: number
    readonly messages: readonly ClientMessage[]
    /** Also of what the client has taken out: the ends of transactions, and what was aborted. */
    lastOffset(): string
  }
  resolveOffset(offset: string): void
  heartbeat(): Promise<void>
  commitOffsetsIfNecessary(offsets?: never): Promise<void>
  isRunning(): boolean
  isStale(): boolean
}

/** A consumer of kafkajs: loose on purpose, since clients differ in what else they take and answer. */
export interface KafkajsConsumer {
  connect(): Promise<void>
  disconnect(): Promise<void>
  subscribe(subscription: never): Promise<void>
  run(config: never): Promise<void>
  stop(): Promise<void>
  commitOffsets(offsets: never): Promise<unknown>
  pause(partitions: never): void
  resume(partitions: never): void
  seek(place: never): void
}

/** A consumer of `@platformatic/kafka`. */
export interface PlatformaticConsumer {
  readonly groupId: string
  joinGroup(options: never): Promise<unknown>
  leaveGroup(force?: boolean): Promise<unknown>
  fetch(options: never): Promise<unknown>
  commit(options: never): Promise<void>
  close(force?: boolean): Promise<void>
}

/** What a consumer must have. */
export type KafkaConsumer = KafkajsConsumer | PlatformaticConsumer

/** A producer of kafkajs. */
export interface KafkajsProducer {
  connect(): Promise<void>
  disconnect(): Promise<void>
  send(record: never): Promise<unknown>
}

/** A producer of `@platformatic/kafka` without serializers. */
export interface PlatformaticProducer {
  send(options: never): Promise<unknown>
  beginTransaction(options: never): Promise<unknown>
  close(force?: boolean): Promise<void>
}

/** What a producer must have, to send dead letters. */
export type KafkaProducer = KafkajsProducer | PlatformaticProducer

/** The `Kafka` object of kafkajs. */
export interface KafkajsClient {
  consumer(config: never): KafkajsConsumer
  producer(config?: never): KafkajsProducer
  admin(): KafkaAdmin
}

/** The classes of `@platformatic/kafka`, and what all of them are made with. */
export interface PlatformaticClient {
  readonly Consumer: new (options: never) => PlatformaticConsumer
  readonly Producer: new (options: never) => PlatformaticProducer
  readonly Admin: new (options: never) => { close(): Promise<void> }
  /** `clientId`, `bootstrapBrokers`, and further options of the client. */
  readonly options: {
    readonly clientId: string
    readonly bootstrapBrokers: readonly unknown[]
    readonly [further: string]: unknown
  }
}

/** What a client must have. */
export type KafkaClient = KafkajsClient | PlatformaticClient

/** An admin client of kafkajs. */
export interface KafkaAdmin {
  connect(): Promise<void>
  disconnect(): Promise<void>
  listTopics(): Promise<string[]>
  createTopics(options: never): Promise<unknown>
  describeConfigs(options: never): Promise<unknown>
}

/** A record as it is sent. */
export interface OutgoingMessage {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Readonly<Record<string, HeaderValue>>
}

/** A record with its place, which shares nothing with the client's own. */
export function messageOf(topic: string, partition: number, message: ClientMessage): KafkaMessage {
  const { offset, timestamp, key = null, value = null, headers = {} } = message
  return copyOf({ topic, partition, offset, timestamp, key, value, headers })
}

/** A copy that shares nothing which can be changed. */
export function copyOf({ key, value, headers, ...rest }: KafkaMessage): KafkaMessage {
  const copies = Object.entries(headers).map(([name, header]) => [name, copyOfHeader(header)])
  return {
    ...rest,
    key: key && Buffer.from(key),
    value: value && Buffer.from(value),
    headers: Object.fromEntries(copies) as KafkaMessage['headers'],
  }
}

/**
 * The client mistakes a header that is named like a property of all objects for one that is there already,
 * and it cannot send one without a value, which is an empty one here: as it came, it could not be parked.
 */
function copyOfHeader(given: unknown): HeaderValue {
  if (Buffer.isBuffer(given)) return Buffer.from(given)
  if (!Array.isArray(given)) return typeof given === 'string' ? given : Buffer.alloc(0)
  const isSent = (value: unknown): boolean =>
    value === null || typeof value === 'string' || Buffer.isBuffer(value)
  const values = given.filter(isSent).map(copyOfHeader) as Buffer[]
  return values.length === 1 ? values[0] : values
}
