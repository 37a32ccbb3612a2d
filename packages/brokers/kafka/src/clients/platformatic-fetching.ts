import type { Clock } from '@oncemq/core/broker'
import { backoffMs, Condition, pause } from '@oncemq/core/broker'
import { grouped } from './grouped.ts'
import type {
  RawFetched,
  RawFetchTopic,
  RawMetadata,
  RawPlaces,
  RawPlatformaticConsumer,
} from './platformatic-raw.ts'
import { has } from './platformatic-raw.ts'
import { decode } from './platformatic-records.ts'
import type { MemberEvents, TopicPartition } from './port.ts'

/** How long a broker waits for records, and how soon a partition that was full is fetched again at most. */
const FETCH_WAIT_MS = 500
const PARTITION_BYTES_MAX = 1_048_576
const FAILED_BACKOFF = { firstMs: 100, factor: 2, maxMs: 5000 }
const OFFSET_OUT_OF_RANGE = 1
const EARLIEST = -2n
const LATEST = -1n

export interface FetchingServices {
  readonly consumer: RawPlatformaticConsumer
  readonly fetcher: RawPlatformaticConsumer
  readonly clock: Clock
  readonly topics: readonly string[]
  readonly fromBeginning: boolean
  readonly events: MemberEvents
  /** A topic has more partitions than when they were assigned. Never rejects. */
  grown(): Promise<unknown>
}

/** A partition that is assigned. */
interface Position extends TopicPartition {
  /** What is fetched next; `undefined` until it is known. */
  next: bigint | undefined
  isPaused: boolean
  /** Whether there is nothing any more where the group is. */
  isOutOfRange: boolean
}

/**
 * Fetches what is assigned. The streams of the client fetch all partitions or none, cannot be told where to
 * go on, and hand over what was aborted: so this fetches by itself, with what they are made of.
 *
 *   assigned ──▶ looked up where the group is ──▶ fetched, one request a broker ──▶ received
 *                 └── or sought
 */
export class Fetching {
  readonly #services: FetchingServices
  readonly #positions = new Map<string, Position>()
  readonly #changed = new Condition()
  readonly #ending = new AbortController()
  /** By broker. */
  readonly #flights = new Map<number, Promise<void>>()
  #partitionCounts: ReadonlyMap<string, number> | undefined
  #running: Promise<void> | undefined

  constructor(services: FetchingServices) {
    this.#services = services
  }

  /** Resolves when nothing is fetched any more. */
  get ended(): Promise<unknown> {
    return Promise.all([this.#running, ...this.#flights.values()])
  }

  isOf(assigned: readonly TopicPartition[]): boolean {
    return (
      assigned.length === this.#positions.size &&
      assigned.every((place) => this.#positions.has(nameOf(place)))
    )
  }

  /** What stays goes on where it is. */
  assign(assigned: readonly TopicPartition[]): void {
    const names = new Set(assigned.map(nameOf))
    for (const name of this.#positions.keys()) if (!names.has(name)) this.#positions.delete(name)
    for (const place of assigned) {
      if (this.#positions.has(nameOf(place))) continue
      this.#positions.set(nameOf(place), {
        ...place,
        next: undefined,
        isPaused: false,
        isOutOfRange: false,
      })
    }
    this.#partitionCounts = undefined
  }

  begin(): void {
    this.#running ??= this.#run()
    this.#changed.notifyAll()
  }

  end(): void {
    this.#ending.abort()
    this.#positions.clear()
  }

  pause(place: TopicPartition): void {
    const position = this.#positions.get(nameOf(place))
    if (position !== undefined) position.isPaused = true
  }

  resume(place: TopicPartition): void {
    const position = this.#positions.get(nameOf(place))
    if (position === undefined) return
    position.isPaused = false
    this.#changed.notifyAll()
  }

  /** As another position, so that what is on its way for the one before is not taken for it. */
  seek(place: TopicPartition, next: bigint): void {
    const position = this.#positions.get(nameOf(place))
    if (position !== undefined) {
      this.#positions.set(nameOf(place), { ...position, next, isOutOfRange: false })
    }
    this.#changed.notifyAll()
  }

  async #run(): Promise<void> {
    const { clock } = this.#services
    const { signal } = this.#ending
    for (let failures = 0; !signal.aborted;) {
      const changed = this.#changed.wait(clock, Number.POSITIVE_INFINITY, signal)
      try {
        await this.#depart()
        failures = 0
      } catch {
        failures += 1
        await pause(clock, backoffMs(FAILED_BACKOFF, failures - 1), signal)
        this.#changed.notifyAll()
      }
      await changed
    }
  }

  /** Sends a request to each broker that has something to fetch and no request on its way. */
  async #depart(): Promise<void> {
    const wanted = [...this.#positions.values()].filter(({ isPaused }) => !isPaused)
    if (wanted.length === 0) return
    const unknown = wanted.filter(({ next }) => next === undefined)
    if (unknown.length > 0) await this.#lookUp(unknown)
    const { fetcher, topics } = this.#services
    const metadata = await fetcher.metadata({ topics })
    await this.#watchCounts(metadata)
    const byNode = grouped(wanted, (place) => leaderOf(metadata, place))
    for (const [node, positions] of byNode) {
      if (node < 0 || this.#flights.has(node) || this.#ending.signal.aborted) continue
      const landed = (): void => {
        this.#flights.delete(node)
        this.#changed.notifyAll()
      }
      this.#flights.set(node, this.#fetch(node, positions, metadata).finally(landed))
    }
    if (this.#flights.size === 0) throw new Error('no leader')
  }

  /** Where the group is, or where it begins. */
  async #lookUp(positions: readonly Position[]): Promise<void> {
    const { consumer, fetcher, fromBeginning } = this.#services
    const found = (offsets: ReadonlyMap<string, readonly bigint[]>, position: Position): void => {
      const offset = offsets.get(position.topic)?.[position.partition] ?? -1n
      if (position.next === undefined && offset >= 0n) position.next = offset
    }
    const inRange = positions.filter(({ isOutOfRange }) => !isOutOfRange)
    if (inRange.length > 0) {
      const committed = await consumer.listCommittedOffsets({ topics: placesOf(inRange) })
      for (const position of inRange) found(committed, position)
    }
    const rest = positions.filter(({ next }) => next === undefined)
    if (rest.length === 0) return
    const places = placesOf(rest)
    const offsets = await fetcher.listOffsets({
      topics: places.map(({ topic }) => topic),
      partitions: Object.fromEntries(places.map(({ topic, partitions }) => [topic, partitions])),
      timestamp: fromBeginning ? EARLIEST : LATEST,
    })
    for (const position of rest) found(offsets, position)
  }

  /** The client does not see that a topic has got more partitions, which nobody would consume. */
  async #watchCounts({ topics }: RawMetadata): Promise<void> {
    const counts = new Map([...topics].map(([topic, data]) => [topic, data?.partitionsCount ?? 0]))
    const before = this.#partitionCounts
    this.#partitionCounts = counts
    const hasGrown = [...counts].some(([topic, count]) => count > (before?.get(topic) ?? count))
    if (hasGrown) await this.#services.grown()
  }

  /** Never throws. */
  async #fetch(node: number, positions: readonly Position[], metadata: RawMetadata): Promise<void> {
    const { fetcher, clock } = this.#services
    const known = positions.filter(({ next }) => next !== undefined)
    const asked = new Map(known.map((position) => [position, position.next as bigint]))
    try {
      const topics = requestOf(asked, metadata)
      this.#land(await fetcher.fetch({ node, topics, maxWaitTime: FETCH_WAIT_MS }), asked, metadata)
    } catch (error) {
      if (this.#ending.signal.aborted) return
      if (has(error, 'apiId', 'TOPIC_AUTHORIZATION_FAILED')) {
        return this.#services.events.crashed(error as Error, true)
      }
      this.#resetOutOfRange(error, asked, metadata)
      await pause(clock, FAILED_BACKOFF.firstMs, this.#ending.signal)
    }
  }

  #land(fetched: RawFetched, asked: ReadonlyMap<Position, bigint>, { topics }: RawMetadata): void {
    const answers = answersOf(fetched)
    for (const [position, from] of asked) {
      const { topic, partition } = position
      const answer = answers.get(`${topics.get(topic)?.id}/${partition}`)
      // What was lost, paused or sought meanwhile is fetched again, by whoever has it.
      const isStill = this.#positions.get(nameOf(position)) === position && position.next === from
      if (answer === undefined || !isStill || position.isPaused) continue
      const { messages, lastOffset } = decode(answer, from)
      if (lastOffset === undefined || lastOffset < from) continue
      position.next = lastOffset + 1n
      position.isOutOfRange = false
      this.#services.events.received({ topic, partition, messages, lastOffset: `${lastOffset}` })
    }
  }

  #resetOutOfRange(error: unknown, asked: ReadonlyMap<Position, bigint>, { topics }: RawMetadata): void {
    if (!has(error, 'apiId', 'OFFSET_OUT_OF_RANGE')) return
    const answers = answersOf((error as { response?: RawFetched }).response)
    for (const position of asked.keys()) {
      const answer = answers.get(`${topics.get(position.topic)?.id}/${position.partition}`)
      if (answer?.errorCode !== OFFSET_OUT_OF_RANGE) continue
      position.next = undefined
      position.isOutOfRange = true
    }
  }
}

function answersOf(fetched: RawFetched | undefined) {
  const answers = (fetched?.responses ?? []).flatMap(({ topicId, partitions }) =>
    partitions.map((answer) => [`${topicId}/${answer.partitionIndex}`, answer] as const),
  )
  return new Map(answers)
}

function requestOf(asked: ReadonlyMap<Position, bigint>, { topics }: RawMetadata): readonly RawFetchTopic[] {
  const byTopic = grouped(asked, ([{ topic }]) => topics.get(topic)?.id ?? '')
  return [...byTopic].map(([topicId, positions]) => ({
    topicId,
    partitions: positions.map(([{ partition }, fetchOffset]) => ({
      partition,
      fetchOffset,
      partitionMaxBytes: PARTITION_BYTES_MAX,
      currentLeaderEpoch: -1,
      lastFetchedEpoch: -1,
    })),
  }))
}

function leaderOf({ topics }: RawMetadata, { topic, partition }: TopicPartition): number {
  return topics.get(topic)?.partitions[partition]?.leader ?? -1
}

function placesOf(positions: readonly TopicPartition[]): RawPlaces[] {
  const byTopic = grouped(positions, ({ topic }) => topic)
  return [...byTopic].map(([topic, places]) => ({
    topic,
    partitions: places.map(({ partition }) => partition),
  }))
}

function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}
