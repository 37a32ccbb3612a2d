import { OncemqError } from '@oncemq/core'
import type { Clock } from '@oncemq/core/broker'
import { backoffMs, pause } from '@oncemq/core/broker'
import type { CommittedOffset } from '../client.ts'
import { Fetching } from './platformatic-fetching.ts'
import type { RawPlatformaticConsumer } from './platformatic-raw.ts'
import { has } from './platformatic-raw.ts'
import type { Generation, GroupMember, MemberEvents, TopicPartition } from './port.ts'

const REJOIN_BACKOFF = { firstMs: 100, factor: 2, maxMs: 5000 }
const UNKNOWN: Generation = { id: undefined, memberId: undefined }
/** Tells that the assignment may be another one. */
const CHANGES = ['consumer:group:join', 'consumer:group:rebalance'] as const
/** The group has taken a heart's beat. */
const HEARTBEAT = 'consumer:heartbeat:end'

/** The `fetcher` has connections of its own, so that no heartbeat waits for a fetch. */
export class PlatformaticMember implements GroupMember {
  generation = UNKNOWN
  readonly #consumer: RawPlatformaticConsumer
  readonly #fetcher: RawPlatformaticConsumer
  readonly #clock: Clock
  #fetching: Fetching | undefined
  #membership: Membership | undefined

  constructor(consumer: RawPlatformaticConsumer, fetcher: RawPlatformaticConsumer, clock: Clock) {
    this.#consumer = consumer
    this.#fetcher = fetcher
    this.#clock = clock
  }

  async join(topics: readonly string[], fromBeginning: boolean, events: MemberEvents): Promise<void> {
    const consumer = this.#consumer
    await this.#fetching?.ended
    const clients = [...new Set([consumer, this.#fetcher])]
    for (const { topics: tracked } of clients) {
      for (const topic of topics) if (!tracked.current.includes(topic)) tracked.track(topic)
    }
    const fetching = new Fetching({
      consumer,
      fetcher: this.#fetcher,
      clock: this.#clock,
      topics,
      fromBeginning,
      events,
    })
    const ending = new AbortController()
    const beaten = (): void => events.beaten()
    const changed = (): void => this.#changed(fetching, events)
    const failed = (error: Error): void => void this.#rejoin(error, fetching, events, ending.signal)
    for (const event of CHANGES) consumer.on(event, changed)
    consumer.on(HEARTBEAT, beaten)
    consumer.on('error', failed)
    this.#fetching = fetching
    this.#membership = {
      end() {
        ending.abort()
        fetching.end()
        for (const event of CHANGES) consumer.off(event, changed)
        consumer.off(HEARTBEAT, beaten)
        // Without a listener, one that comes late would end the process.
        consumer.on('error', () => undefined)
        consumer.off('error', failed)
      },
    }
    await consumer.joinGroup({})
    if (consumer.memberId === null) throw refusal()
  }

  #changed(fetching: Fetching, events: MemberEvents): void {
    const { assignments, generationId, memberId } = this.#consumer
    const assigned = (assignments ?? []).flatMap(({ topic, partitions }) =>
      partitions.map((partition) => ({ topic, partition })),
    )
    if (generationId === this.generation.id && fetching.isOf(assigned)) return
    this.generation = {
      id: generationId,
      memberId: memberId ?? undefined,
      coordinatorId: this.#consumer.coordinatorId ?? undefined,
    }
    fetching.assign(assigned)
    events.assigned(assigned, this.generation)
    fetching.begin()
  }

  /** The client has given up: its heart beats no more. */
  async #rejoin(error: Error, fetching: Fetching, events: MemberEvents, signal: AbortSignal): Promise<void> {
    for (let failures = 0, cause: unknown = error; !signal.aborted; failures += 1) {
      const ended = isFinal(cause)
      this.generation = UNKNOWN
      fetching.assign([])
      if (failures === 0 || ended) events.crashed(cause as Error, ended)
      if (ended || !(await pause(this.#clock, backoffMs(REJOIN_BACKOFF, failures), signal))) return
      try {
        await this.#consumer.joinGroup({})
        return
      } catch (thrown) {
        cause = thrown
      }
    }
  }

  async commit(offsets: readonly CommittedOffset[]): Promise<void> {
    await this.#consumer.commit({
      offsets: offsets.map(({ topic, partition, offset }) => ({
        topic,
        partition,
        offset: BigInt(offset),
        leaderEpoch: -1,
      })),
    })
  }

  pause(place: TopicPartition): void {
    this.#fetching?.pause(place)
  }

  resume(place: TopicPartition): void {
    this.#fetching?.resume(place)
  }

  seek(place: TopicPartition, offset: string): void {
    this.#fetching?.seek(place, BigInt(offset))
  }

  async leave(): Promise<void> {
    this.#end()
    await this.#consumer.leaveGroup(true).catch(() => undefined)
  }

  async close(): Promise<void> {
    this.#end()
    const clients = [...new Set([this.#consumer, this.#fetcher])]
    await Promise.allSettled(clients.map((client) => client.close(true)))
  }

  #end(): void {
    this.#membership?.end()
    this.#membership = undefined
    this.generation = UNKNOWN
  }
}

interface Membership {
  end(): void
}

/** Whether the broker will answer the same again. */
function isFinal(error: unknown): boolean {
  return (
    has(error, 'canRetry', false) &&
    has(error, 'code', 'PLT_KFK_PROTOCOL') &&
    !has(error, 'needsRejoin', true)
  )
}

function refusal(): OncemqError {
  return new OncemqError(
    'ONCEMQ_CONSUMER_UNSAFE',
    "consume: expected a consumer of the group protocol 'classic', received another one; " +
      'leave groupProtocol out',
  )
}
