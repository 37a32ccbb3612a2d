import type { Deduplicator } from '@oncemq/core'
import type { MessageSource, Receiver, Session, TakenLog } from '@oncemq/core/broker'
import { backoffMs, Condition, pause } from '@oncemq/core/broker'
import type { CommittedOffset, KafkaMessage } from './client.ts'
import { messageOf } from './client.ts'
import type { FetchedRecords, GroupMember, RecordProducer, TopicPartition } from './clients/port.ts'
import { ConsumedMessage } from './consumed-message.ts'
import { ConsumedPartition } from './consumed-partition.ts'
import { senderInto } from './exactly-once/partition-log.ts'
import { OffsetCommits } from './offset-commits.ts'
import type { Ordering } from './options.ts'
import { arrivalOf, isCopy } from './parked-copy.ts'
import type { Parking } from './parking.ts'

/** How many records of a partition are held before no more are fetched; fetched are whole batches. */
const HELD_MAX = 1000
/** How many are left when more are fetched. */
const HELD_LOW = 500
/** Between two tries to take a log. */
const TAKE_BACKOFF = { firstMs: 100, factor: 2, maxMs: 10_000 }
/** How long a log that was lost waits for the group to say that its partition is still ours. */
const CONFIRM_MS = 10_000

export interface GroupServices {
  readonly member: GroupMember
  readonly producer: RecordProducer
  readonly parking: Parking
  readonly dedup: Deduplicator<never>
  readonly topics: readonly string[]
  readonly fromBeginning: boolean
  readonly ordering: Ordering
  /** Sees to it that the topics are there. @throws OncemqError for those that cannot be. */
  prepare(): Promise<void>
}

/** The records of a consumer group's member. */
export class GroupSource implements MessageSource<KafkaMessage> {
  readonly #services: GroupServices

  constructor(services: GroupServices) {
    this.#services = services
  }

  async open(receiver: Receiver<KafkaMessage>): Promise<Session> {
    await this.#services.prepare()
    const membership = new Membership(this.#services, receiver)
    await membership.begin()
    return membership
  }

  async close(): Promise<void> {
    const { member, producer } = this.#services
    await Promise.all([member.close(), producer.close()])
  }
}

/**
 * One time of being in the group. The client fetches and beats its heart for as long as the handlers take:
 * it is handed nothing but the promise that a batch was received.
 *
 *   fetched ──▶ held ──▶ settled ──▶ all before it settled, too ──▶ committed
 *                └── its partition is another's: signal aborts, nothing is committed any more
 */
class Membership implements Session {
  readonly #services: GroupServices
  readonly #receiver: Receiver<KafkaMessage>
  readonly #commits: OffsetCommits
  readonly #partitions = new Map<string, ConsumedPartition>()
  readonly #ending = new AbortController()
  /** The group has said that this is its member. */
  readonly #confirmed = new Condition()
  readonly #followsLog: boolean
  #isPaused = false

  constructor(services: GroupServices, receiver: Receiver<KafkaMessage>) {
    this.#services = services
    this.#receiver = receiver
    this.#followsLog = services.dedup.settings.strategy.followsLog === true
    this.#commits = new OffsetCommits((offsets) => this.#commit(offsets), services.dedup)
  }

  begin(): Promise<void> {
    const { member, topics, fromBeginning } = this.#services
    return member.join(topics, fromBeginning, {
      assigned: (partitions) => this.#assigned(partitions),
      received: (fetched) => this.#receive(fetched),
      crashed: (error, ended) => this.#crashed(error, ended),
      beaten: () => this.#confirmed.notifyAll(),
    })
  }

  async pause(): Promise<void> {
    this.#isPaused = true
    for (const partition of this.#partitions.values()) this.#pause(partition)
  }

  async resume(): Promise<void> {
    this.#isPaused = false
    for (const partition of this.#partitions.values()) this.#resumeIfLow(partition)
  }

  /** Stays in the group, so that what is settled from now on can be committed. */
  async stop(): Promise<void> {
    this.#ending.abort()
    await this.pause()
  }

  async close(): Promise<void> {
    this.#ending.abort()
    await this.#commits.flush()
    // What was given back of a log is aborted before another member waits for it.
    const logs = [...this.#partitions.values()].map(({ log }) => log)
    this.#loseAll()
    await Promise.all(logs.map((log) => log?.release()))
    await this.#services.member.leave()
  }

  #assigned(partitions: readonly TopicPartition[]): void {
    const names = new Set(partitions.map(nameOf))
    for (const [name, partition] of this.#partitions) {
      if (names.has(name)) continue
      partition.lose()
      this.#partitions.delete(name)
    }
    for (const partition of this.#partitions.values()) {
      if (!partition.isPaused) continue
      partition.isPaused = false
      this.#pause(partition)
    }
    if (this.#followsLog) this.#takeAll(partitions)
    this.#confirmed.notifyAll()
  }

  #takeAll(partitions: readonly TopicPartition[]): void {
    for (const place of partitions) {
      const known = this.#partitions.get(nameOf(place))
      // The client goes on where the group's offset is by now.
      if (known?.log !== undefined) known.floor = known.log.next
      if (known === undefined) void this.#take(this.#partition(place.topic, place.partition))
    }
  }

  /** Nothing of a partition is received before its log is taken, and then from where that says. */
  async #take(partition: ConsumedPartition): Promise<void> {
    this.#pause(partition)
    const log = await this.#taken(partition)
    if (log === undefined) return
    partition.log = log
    partition.floor = log.next
    log.signal.addEventListener('abort', () => void this.#takeAnew(partition, log), { once: true })
    if (log.next !== undefined) this.#services.member.seek(partition, `${log.next}`)
    this.#resumeIfLow(partition)
  }

  /** Answers nothing when the partition is lost meanwhile. */
  async #taken({ topic, partition, signal }: ConsumedPartition): Promise<TakenLog | undefined> {
    const { dedup, fromBeginning } = this.#services
    for (let failures = 0; !signal.aborted; failures += 1) {
      try {
        const log = await dedup.takeLog([topic, `${partition}`], { fromBeginning })
        if (!signal.aborted) return log
        await log.release()
      } catch (error) {
        if (failures === 1) {
          dedup.warn(`consume: a partition cannot be taken (${described(error)}); trying again until it can`)
        }
        await pause(dedup.settings.clock, backoffMs(TAKE_BACKOFF, failures), signal)
      }
    }
    return undefined
  }

  /**
   * Another one has taken the log, or nobody knows what became of it. It is taken again when the group has said
   * that the partition is still ours: who slept through a rebalance is told otherwise first.
   */
  async #takeAnew(partition: ConsumedPartition, log: TakenLog): Promise<void> {
    const name = nameOf(partition)
    if (partition.signal.aborted || this.#partitions.get(name) !== partition) return
    const hasMoved = log.next !== undefined && log.next !== partition.floor
    const failures = hasMoved ? 0 : partition.failures + 1
    const anew = new ConsumedPartition(partition.topic, partition.partition, failures)
    partition.lose()
    this.#partitions.set(name, anew)
    this.#pause(anew)
    const { clock } = this.#services.dedup.settings
    await this.#confirmed.wait(clock, CONFIRM_MS, anew.signal)
    await pause(clock, backoffMs(TAKE_BACKOFF, failures), anew.signal)
    await this.#take(anew)
  }

  #crashed(error: Error, ended: boolean): void {
    this.#loseAll()
    if (ended) this.#receiver.ended(error)
  }

  #loseAll(): void {
    for (const partition of this.#partitions.values()) partition.lose()
    this.#partitions.clear()
  }

  #receive({ topic, partition: number, messages, lastOffset }: FetchedRecords): void {
    if (this.#ending.signal.aborted) return
    const partition = this.#partition(topic, number)
    // It was fetched before the partition was paused: it comes again.
    if (this.#followsLog && partition.log === undefined) return
    for (const message of messages) {
      if (this.#isPast(partition, message.offset)) continue
      if (partition.receive(message)) this.#hand(partition, messageOf(topic, number, message))
    }
    if (lastOffset !== messages.at(-1)?.offset) this.#passed(partition, lastOffset)
    if (this.#isPaused || partition.size >= HELD_MAX) this.#pause(partition)
  }

  /** A log that begins anew, as that of a topic that was made anew, is taken anew. */
  #isPast(partition: ConsumedPartition, offset: string): boolean {
    const { log, floor } = partition
    if (log === undefined || !log.isPast(BigInt(offset))) return false
    if (floor !== undefined && BigInt(offset) < floor) void this.#takeAnew(partition, log)
    return true
  }

  async #commit(offsets: readonly CommittedOffset[]): Promise<void> {
    const rest: CommittedOffset[] = []
    const passed = offsets.map(async (each) => {
      const log = this.#partitions.get(nameOf(each))?.log
      await log?.pass(BigInt(each.offset))
      if (log?.movesOffset !== true) rest.push(each)
    })
    await Promise.all(passed)
    if (rest.length > 0) await this.#services.member.commit(rest)
  }

  #passed(partition: ConsumedPartition, lastOffset: string): void {
    if (partition.pass(lastOffset)) this.#commits.changed(partition)
  }

  /** In the order in which they came, also when one of them waits for the store to know what it is. */
  #hand(partition: ConsumedPartition, message: KafkaMessage): void {
    const { log } = partition
    const hand = (arrival: ConsumedMessage['arrival']): void =>
      this.#receiver.received(
        new ConsumedMessage(arrival, message, this.#services.ordering, this.#fate(partition, message), log),
      )
    const { dedup } = this.#services
    const { signal } = partition
    if (partition.arriving === undefined && !isCopy(message)) {
      hand({ message, firstAtMs: dedup.settings.clock.nowMs() })
      return
    }
    const arriving = Promise.resolve(partition.arriving)
      .then(async () => hand(await arrivalOf(message, dedup, signal)))
      .finally(() => {
        if (partition.arriving === arriving) partition.arriving = undefined
      })
    partition.arriving = arriving
  }

  #fate(partition: ConsumedPartition, place: KafkaMessage): ConsumedMessage['fate'] {
    const { parking } = this.#services
    return {
      signal: partition.signal,
      ack: () => {
        if (partition.settle(place)) this.#commits.changed(partition)
        this.#resumeIfLow(partition)
      },
      deadLetter: (arrival, letter) =>
        parking.park(arrival, letter, senderInto(partition.log, BigInt(place.offset))),
      // Its offset is not committed, so that whoever has the partition next gets it.
      giveBack: () => undefined,
    }
  }

  #partition(topic: string, number: number): ConsumedPartition {
    const name = nameOf({ topic, partition: number })
    const known = this.#partitions.get(name)
    if (known !== undefined) return known
    const partition = new ConsumedPartition(topic, number)
    this.#partitions.set(name, partition)
    return partition
  }

  #pause(partition: ConsumedPartition): void {
    if (partition.isPaused || partition.signal.aborted) return
    partition.isPaused = true
    this.#services.member.pause(partition)
  }

  #resumeIfLow(partition: ConsumedPartition): void {
    if (!partition.isPaused || this.#isPaused || partition.signal.aborted || partition.size > HELD_LOW) return
    partition.isPaused = false
    this.#services.member.resume(partition)
  }
}

function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}

function described(error: unknown): string {
  return error instanceof Error ? error.message : typeof error
}
