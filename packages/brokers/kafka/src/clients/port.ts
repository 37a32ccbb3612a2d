import type { ClientMessage, CommittedOffset, HeaderValue, OutgoingMessage } from '../client.ts'

/** What this package needs of a client, whichever it is: each client has one file that answers this. */
export interface ClientPort {
  /** A member of the group that this package makes by itself. It has not joined yet. */
  member(groupId: string): GroupMember
  producer(): RecordProducer
  admin(): TopicAdmin
}

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** By which a group knows its members of now. `undefined` where a client does not say. */
export interface Generation {
  readonly id: number | undefined
  readonly memberId: string | undefined
}

/** What was fetched of a partition, in its order. */
export interface FetchedRecords extends TopicPartition {
  readonly messages: readonly ClientMessage[]
  /** Also of what is for no consumer: the ends of transactions, and what was aborted. */
  readonly lastOffset: string
}

/** What a member tells. None of these may throw. */
export interface MemberEvents {
  /**
   * The member has joined, and has these partitions and no others from now on. Nothing of a partition that is
   * new to it was received yet: one that is paused in here stays so, until it was sought and is resumed.
   * One that the group had dropped comes back by another id. It is told first that it has none: others may
   * have had them meanwhile, and be further.
   */
  assigned(partitions: readonly TopicPartition[], generation: Generation): void
  /** Resolved at once: the client fetches on, whatever becomes of the records. */
  received(fetched: FetchedRecords): void
  /** All partitions are lost. It joins again by itself, unless it has `ended`. */
  crashed(error: Error, ended: boolean): void
  /** The group has just said that this is its member, with the partitions of the last `assigned`. */
  beaten(): void
}

/** A member of a consumer group, which commits nothing by itself, and whose heart beats all the time. */
export interface GroupMember {
  /** Connects and joins. @throws what the client throws. */
  join(topics: readonly string[], fromBeginning: boolean, events: MemberEvents): Promise<void>
  /** That of the last `assigned`, as far as the client has told it by now. */
  readonly generation: Generation
  /**
   * In the name of the generation of now alone: what was refused is not sent again in that of a later one.
   * While the broker is out of reach kafkajs cannot be kept from it.
   * @throws what the client throws, as while the group rebalances, or when it is no member any more.
   */
  commit(offsets: readonly CommittedOffset[]): Promise<void>
  /** Of a partition that is assigned. Forgotten when the partition is lost. */
  pause(place: TopicPartition): void
  resume(place: TopicPartition): void
  /** What is received next of an assigned partition is from this offset on. */
  seek(place: TopicPartition, offset: string): void
  /** Leaves the group, and tells nothing any more. It may join again. Never throws. */
  leave(): Promise<void>
  /** For good, also when it was about to join. Never throws. */
  close(): Promise<void>
}

export interface SendOptions {
  readonly compressed: boolean
}

export interface RecordProducer {
  /** Connects when needed, and resolves when all replicas in step have the record. */
  send(topic: string, message: OutgoingMessage, options: SendOptions): Promise<void>
  /** Never throws. */
  close(): Promise<void>
}

/** What a client must do for outputs and offsets that commit together, whoever is cut off or sleeps. */
export interface TransactionClient {
  producer(transactionalId: string, timeoutMs: number): FencedProducer
  offsets(groupId: string, place: TopicPartition): Promise<PartitionOffsets>
}

/** One transaction at a time. */
export interface FencedProducer {
  /** Connects when needed, which fences whoever had the transactional id before. */
  begin(): Promise<ProducerTransaction>
  faultOf(error: unknown): TransactionFault
  /** Never throws. */
  close(): Promise<void>
}

/**
 * What an error of a transaction means.
 * - `fenced`: the broker takes nothing more from this producer.
 * - `unavailable`: no answer, or one that passes. What a commit has done is not known.
 * - `refused`: an answer that will be the same again.
 */
export interface TransactionFault {
  readonly kind: 'fenced' | 'unavailable' | 'refused'
  /** The name that Kafka has for it, or that of the error. */
  readonly name: string
}

/** A record that is sent in a transaction. */
export interface TransactionMessage {
  readonly key?: Buffer | string | null
  readonly value: Buffer | string | null
  readonly headers?: Readonly<Record<string, HeaderValue>>
  readonly partition?: number
}

export interface ProducerTransaction {
  /** Where it has written to. */
  readonly outputs: readonly TopicPartition[]
  /** Its end is told to these, where nothing is written. Those that cannot be written to are left out. */
  include(places: readonly TopicPartition[]): Promise<void>
  /** One after the other: a client may number what is sent at once wrongly when it sends again. */
  send(topic: string, messages: readonly TransactionMessage[], options?: SendOptions): Promise<void>
  /**
   * The group gets them when the transaction commits. With none, its end is told to the group all the same.
   * They go by the group alone: kafkajs tells neither generation nor member id with them.
   */
  sendOffsets(groupId: string, offsets: readonly CommittedOffset[]): Promise<void>
  commit(): Promise<void>
  abort(): Promise<void>
}

/** What a group has committed of a partition, and what there is of it. */
export interface PartitionOffsets {
  /** `undefined` for a group that has committed none. */
  readonly committed: { readonly offset: bigint; readonly metadata: string } | undefined
  readonly low: bigint
  readonly high: bigint
}

export interface NewTopic {
  readonly topic: string
  readonly config: Readonly<Record<string, string>>
}

export interface TopicAdmin {
  connect(): Promise<void>
  /** All that the user may see. */
  topics(): Promise<ReadonlySet<string>>
  config(topic: string, name: string): Promise<string | undefined>
  create(topics: readonly NewTopic[]): Promise<void>
  /** Whether it is an answer of the broker, who will answer the same again. */
  isAnswer(error: unknown): boolean
  /** Never throws. */
  close(): Promise<void>
}
