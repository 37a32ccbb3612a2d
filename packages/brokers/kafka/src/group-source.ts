import type { Deduplicator } from '@oncemq/core'
import type { MessageSource, Receiver, Session } from '@oncemq/core/broker'
import { Condition, pause } from '@oncemq/core/broker'
import type { CommittedOffset, KafkaMessage } from './client.ts'
import { messageOf } from './client.ts'

import type {
  FetchedRecords,
  GroupMember,
  MemberEvents,
  RecordProducer,
  TopicPartition,
} from './clients/port.ts'
import { ConsumedMessage } from './consumed-message.ts'
import { ConsumedPartition } from './consumed-partition.ts'
import { senderInto } from './exactly-once/partition-log.ts'
import { OffsetCommits } from './offset-commits.ts'
import type { Ordering } from './options.ts'
import { arrivalOf, isCopy } from './parked-copy.ts'
import type { Parking } from './parking.ts'
import { refusalOf } from './rights.ts'
import { logGone, takenLog } from './taken-logs.ts'

/** How many records of a partition are held before no more are fetched; fetched are whole batches. */
const HELD_MAX = 1000
/** How many are left when more are fetched. */
const HELD_LOW = 500
/**
 * How long a log that another member has taken waits for the group to say that the partition is ours: one
 * that slept, or was cut off for a while, is told by then that it is not.
 */
const CONFIRM_MS = 10_000
/**
 * How long a beginning is waited for. A group lets nobody in before it has missed the members that died,
 * which may take minutes: longer than the engine waits for a session, which it would begin anew.
 */
const BEGIN_MS = 10_000

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
  #last: Membership | undefined
  #opened = 0

  constructor(services: GroupServices) {
    this.#services = services
  }

  async open(receiver: Receiver<KafkaMessage>): Promise<Session> {
    const { clock } = this.#services.dedup.settings
    const untilMs = clock.monotonicMs() + BEGIN_MS
    const opened = (this.#opened += 1)
    await this.#last?.settled
    await this.#services.prepare()
    // The engine waits for this one no more: there is one member, which would leave with it.
    if (opened !== this.#opened) throw new Error('begun anew')
    const membership = new Membership(this.#services, receiver)
    this.#last = membership
    await membership.begin(Math.max(0, untilMs - clock.monotonicMs()))
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
 *
 * Where the strategy follows logs, a partition is paused until its log is taken, and read from where that is.
 */
class Membership implements Session {
  readonly #services: GroupServices
  readonly #receiver: Receiver<KafkaMessage>
  readonly #commits: OffsetCommits
  readonly #partitions = new Map<string, ConsumedPartition>()
  readonly #ending = new AbortController()
  /** The group has said that this is its member. */
  readonly #confirmed = new Condition()
  #isPaused = false
  #isClosed = false
  /** Resolves when it has joined, or will not. */
  settled: Promise<unknown> = Promise.resolve()

  constructor(services: GroupServices, receiver: Receiver<KafkaMessage>) {
    this.#services = services
    this.#receiver = receiver
    this.#commits = new OffsetCommits((offsets) => this.#commit(offsets), services.dedup)
  }

  /** @throws what the client throws, if it does so in time. What comes later ends the session. */
  async begin(withinMs: number): Promise<void> {
    const { member, topics, fromBeginning, dedup } = this.#services
    const events: MemberEvents = {
      assigned: (partitions) => this.#assigned(partitions),
      received: (fetched) => this.#receive(fetched),
      crashed: (error, ended) => this.#crashed(error, ended),
      beaten: () => this.#confirmed.notifyAll(),
    }
    const joining = member.join(topics, fromBeginning, events).catch((error: unknown) => {
      throw refusalOf(error)
    })
    const answered = new AbortController()
    let isWaiting = true
    const failed = (error: unknown): void => {
      if (!isWaiting && !this.#isClosed) this.#receiver.ended(error)
    }
    const joined = (): Promise<void> | undefined => (this.#isClosed ? member.leave() : undefined)
    this.settled = joining.then(joined, failed).finally(() => answered.abort())
    await Promise.race([joining, pause(dedup.settings.clock, withinMs, answered.signal)])
    isWaiting = false
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
    this.#isClosed = true
    await this.#commits.flush()
    // A transaction that is under way is aborted before another member waits for it.
    await Promise.all([...this.#partitions.values()].map(async ({ log }) => log?.release()))
    await this.#services.member.leave()
    this.#loseAll()
  }

  #assigned(partitions: readonly TopicPartition[]): void {
    const names = new Set(partitions.map(nameOf))
    for (const [name, partition] of this.#partitions) {
      if (names.has(name)) continue
      partition.lose()
      this.#partitions.delete(name)
    }
    for (const partition of this.#partitions.values()) {
      const { unread } = partition
      if (partition.log !== undefined && unread !== undefined) this.#seek(partition, unread)
      if (!partition.isPaused) continue
      partition.isPaused = false
      this.#pause(partition)
    }
    this.#confirmed.notifyAll()
    if (!this.#followsLog || this.#isClosed) return
    for (const place of partitions) if (!this.#partitions.has(nameOf(place))) void this.#take(place)
  }

  /** Whoever has the partition of the group has its log, whatever others think. */
  async #take({ topic, partition: number }: TopicPartition, from?: bigint, isAnew = false): Promise<void> {
    const { dedup, fromBeginning } = this.#services
    const partition = this.#partition(topic, number)
    partition.from = from
    partition.isTaking = true
    this.#pause(partition)
    try {
      if (isAnew) await this.#confirmed.wait(dedup.settings.clock, CONFIRM_MS, partition.signal)
      const log = await takenLog(partition, { dedup, fromBeginning }, partition.signal)
      if (log === undefined) return
      partition.log = log
      if (partition.signal.aborted) return void log.release()
      log.signal.addEventListener('abort', () => this.#takenAway(partition), { once: true })
      const next = log.next ?? from
      if (next !== undefined) this.#seek(partition, next)
      if (log.next !== undefined) {
        partition.goOn(log.next)
        this.#commits.changed(partition)
      }
      partition.isTaking = false
      this.#resumeIfLow(partition)
    } catch (error) {
      if (!partition.signal.aborted) this.#receiver.ended(error)
    }
  }

  /** What is held of it is of no use: the log goes on from where its row says. */
  #takenAway(partition: ConsumedPartition): void {
    if (partition.signal.aborted) return
    partition.lose()
    this.#partitions.delete(nameOf(partition))
    if (!this.#ending.signal.aborted) void this.#take(partition, partition.from, true)
  }

  get #followsLog(): boolean {
    return this.#services.dedup.settings.strategy.followsLog === true
  }

  #seek(partition: ConsumedPartition, next: bigint): void {
    this.#services.member.seek(partition, `${next}`)
  }

  /**
   * The row is never behind the group's offset, or whoever takes the log next would find once more what was
   * put aside.
   */
  async #commit(offsets: readonly CommittedOffset[]): Promise<void> {
    const passed = offsets.map(async (place) => {
      const log = this.#partitions.get(nameOf(place))?.log
      const isOurs = (await log?.pass(BigInt(place.offset))) ?? true
      return isOurs && log?.movesOffset !== true
    })
    const isLeft = await Promise.all(passed)
    const left = offsets.filter((_, at) => isLeft[at] === true)
    if (left.length > 0) await this.#services.member.commit(left)
  }

  #crashed(error: Error, ended: boolean): void {
    this.#loseAll()
    if (ended) this.#receiver.ended(refusalOf(error))
  }

  #loseAll(): void {
    for (const partition of this.#partitions.values()) partition.lose()
    this.#partitions.clear()
  }

  #receive({ topic, partition: number, messages, lastOffset }: FetchedRecords): void {
    if (this.#ending.signal.aborted) return
    const isTaken = this.#partitions.get(nameOf({ topic, partition: number }))?.log !== undefined
    // Of a partition that is not ours any more; once it is again, it is read from where its log is.
    if (this.#followsLog && !isTaken) return
    const partition = this.#partition(topic, number)
    const [first] = messages
    const next = partition.log?.next
    if (first !== undefined && next !== undefined && BigInt(first.offset) < next) {
      // The group's own offset goes with its topic; a row stays.
      if (partition.log?.movesOffset === true) return this.#takenAway(partition)
      return this.#receiver.ended(logGone(partition, next, first.offset))
    }
    for (const message of messages) {
      if (partition.receive(message)) this.#hand(partition, messageOf(topic, number, message))
    }
    if (lastOffset !== messages.at(-1)?.offset) this.#passed(partition, lastOffset)
    if (this.#isPaused || partition.size >= HELD_MAX) this.#pause(partition)
  }

  #passed(partition: ConsumedPartition, lastOffset: string): void {
    if (partition.pass(lastOffset)) this.#commits.changed(partition)
  }

  /** In the order in which they came, also when one of them waits for the store to know what it is. */
  #hand(partition: ConsumedPartition, message: KafkaMessage): void {
    const hand = (arrival: ConsumedMessage['arrival']): void =>
      this.#receiver.received(
        new ConsumedMessage(arrival, message, this.#services.ordering, this.#fate(partition, message)),
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
      log: partition.log,
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
    if (!partition.isPaused || this.#isPaused || partition.isTaking || partition.signal.aborted) return
    if (partition.size > HELD_LOW) return
    partition.isPaused = false
    this.#services.member.resume(partition)
  }
}

function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}
