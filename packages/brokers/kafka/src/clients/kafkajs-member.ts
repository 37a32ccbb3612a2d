import type { Clock } from '@oncemq/core/broker'
import type { CommittedOffset, EachBatch } from '../client.ts'
import { PartitionLog } from './kafkajs-records.ts'
import type { Generation, GroupMember, MemberEvents, TopicPartition } from './port.ts'

const UNKNOWN: Generation = { id: undefined, memberId: undefined }

interface Assigned {
  readonly payload: {
    readonly memberId?: string
    readonly memberAssignment: Readonly<Record<string, readonly number[]>>
  }
}

interface Crashed {
  readonly payload: { readonly error: Error; readonly restart: boolean }
}

interface Beaten {
  readonly payload: { readonly groupGenerationId?: number }
}

/** Tells of records that a client has fetched, and has handed over by then. */
interface BatchProcessed {
  readonly payload: TopicPartition & {
    readonly batchSize: number
    readonly firstOffset: string | null
    readonly lastOffset: string
  }
}

interface RawPartitions {
  readonly topic: string
  readonly partitions: number[]
}

/** A consumer as it is called here. */
export interface RawConsumer {
  readonly events: Readonly<Record<'GROUP_JOIN' | 'CRASH' | 'END_BATCH_PROCESS' | 'HEARTBEAT', string>>
  on(event: string, listener: (event: never) => void): () => void
  connect(): Promise<void>
  disconnect(): Promise<void>
  subscribe(subscription: { topics: readonly string[]; fromBeginning: boolean }): Promise<void>
  run(config: {
    autoCommit: boolean
    eachBatchAutoResolve: boolean
    eachBatch: (payload: EachBatch) => Promise<void>
  }): Promise<void>
  stop(): Promise<void>
  commitOffsets(offsets: readonly CommittedOffset[]): Promise<unknown>
  pause(partitions: readonly RawPartitions[]): void
  resume(partitions: readonly RawPartitions[]): void
  seek(place: CommittedOffset): void
}

export function kafkajsMember(consumer: RawConsumer, clock: Clock): GroupMember {
  return new KafkajsMember(consumer, clock)
}

class KafkajsMember implements GroupMember {
  generation = UNKNOWN
  readonly #consumer: RawConsumer
  readonly #clock: Clock
  #listeners: (() => void)[] = []
  /** The client remembers what it was told to pause, until it has it again. */
  readonly #paused = new Map<string, TopicPartition>()
  /** Since it has joined, or sought, from where it reads anew. */
  readonly #logs = new Map<string, PartitionLog>()

  constructor(consumer: RawConsumer, clock: Clock) {
    this.#consumer = consumer
    this.#clock = clock
  }

  async join(topics: readonly string[], fromBeginning: boolean, events: MemberEvents): Promise<void> {
    const consumer = this.#consumer
    await consumer.connect()
    await consumer.subscribe({ topics, fromBeginning })
    let [isJoining, crash] = [true, undefined as Error | undefined]
    const { GROUP_JOIN, CRASH, END_BATCH_PROCESS, HEARTBEAT } = consumer.events
    this.#listeners = [
      consumer.on(GROUP_JOIN, ({ payload }: Assigned) => this.#assigned(payload, events)),
      consumer.on(HEARTBEAT, ({ payload }: Beaten) => {
        this.generation = { ...this.generation, id: payload.groupGenerationId }
        events.beaten()
      }),
      consumer.on(CRASH, ({ payload }: Crashed) => {
        this.#paused.clear()
        this.#logs.clear()
        if (isJoining && !payload.restart) crash = payload.error
        else events.crashed(payload.error, !payload.restart)
      }),
      consumer.on(END_BATCH_PROCESS, ({ payload }: BatchProcessed) => {
        // The client hands over nothing where all was aborted, or ends a transaction.
        if (payload.batchSize === 0) this.#pass(payload, events)
      }),
    ]
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: async (fetched) => this.#receive(fetched, events),
    })
    isJoining = false
    // The client has begun all the same, as it says.
    if (crash === undefined) return
    await this.leave()
    throw crash
  }

  #assigned({ memberId, memberAssignment }: Assigned['payload'], events: MemberEvents): void {
    const assigned = Object.entries(memberAssignment).flatMap(([topic, partitions]) =>
      partitions.map((partition) => ({ topic, partition })),
    )
    const isOther = ![undefined, memberId].includes(this.generation.memberId)
    this.generation = { id: undefined, memberId }
    this.#logs.clear()
    for (const places of isOther ? [[], assigned] : [assigned]) {
      const names = new Set(places.map(nameOf))
      for (const [name, place] of this.#paused) if (!names.has(name)) this.resume(place)
      events.assigned(places, this.generation)
    }
  }

  #receive(fetched: EachBatch, events: MemberEvents): void {
    if (!fetched.isRunning() || fetched.isStale()) return
    const { topic, partition, messages } = fetched.batch
    for (const { offset } of messages) fetched.resolveOffset(offset)
    const decided = this.#log({ topic, partition }).received(fetched.batch)
    if (decided !== undefined) events.received({ topic, partition, ...decided })
  }

  #pass(
    { topic, partition, firstOffset, lastOffset }: BatchProcessed['payload'],
    events: MemberEvents,
  ): void {
    const place = { topic, partition }
    const { decided, sought } = this.#log(place).passed(firstOffset, lastOffset)
    if (decided !== undefined) events.received({ ...place, ...decided })
    if (sought !== undefined) this.#consumer.seek({ ...place, offset: sought })
  }

  #log(place: TopicPartition): PartitionLog {
    const name = nameOf(place)
    const log = this.#logs.get(name) ?? new PartitionLog()
    this.#logs.set(name, log)
    return log
  }

  async commit(offsets: readonly CommittedOffset[]): Promise<void> {
    await this.#consumer.commitOffsets(offsets)
  }

  pause(place: TopicPartition): void {
    this.#paused.set(nameOf(place), place)
    this.#consumer.pause(rawOf(place))
  }

  resume(place: TopicPartition): void {
    this.#paused.delete(nameOf(place))
    this.#consumer.resume(rawOf(place))
  }

  seek({ topic, partition }: TopicPartition, offset: string): void {
    this.#logs.delete(nameOf({ topic, partition }))
    this.#consumer.seek({ topic, partition, offset })
  }

  async leave(): Promise<void> {
    for (const remove of this.#listeners.splice(0)) remove()
    await this.#consumer.stop().catch(() => undefined)
    this.#paused.clear()
    this.#logs.clear()
  }

  async close(): Promise<void> {
    this.#stayOut()
    await this.#consumer.disconnect().catch(() => undefined)
  }

  /**
   * A client that was joining its group when it was disconnected joins nevertheless, and would keep
   * partitions that nobody handles. It can be disconnected when it has told so, not before.
   */
  #stayOut(): void {
    const consumer = this.#consumer
    const leave = (): void => {
      this.#clock.after(0, () => void consumer.disconnect().catch(() => undefined))
    }
    consumer.on(consumer.events.GROUP_JOIN, leave)
    consumer.on(consumer.events.CRASH, leave)
  }
}

function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}

function rawOf({ topic, partition }: TopicPartition): readonly RawPartitions[] {
  return [{ topic, partitions: [partition] }]
}
