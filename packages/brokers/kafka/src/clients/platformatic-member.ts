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
const JOIN = 'consumer:group:join'
/** The client is about to join once more. */
const REBALANCE = 'consumer:group:rebalance'
/** The group has taken a heart's beat. */
const HEARTBEAT = 'consumer:heartbeat:end'
/** The heart beats, or tries to. */
const BEATS = ['consumer:heartbeat:start', 'consumer:heartbeat:error'] as const
/** After how long without any of these it does not: longer than a client waits between two. */
const SILENT_MS = 30_000

/** The `fetcher` has connections of its own, so that no heartbeat waits for a fetch. */
export class PlatformaticMember implements GroupMember {
  generation = UNKNOWN
  readonly #consumer: RawPlatformaticConsumer
  readonly #fetcher: RawPlatformaticConsumer
  readonly #clock: Clock
  #fetching: Fetching | undefined
  #membership: Membership | undefined
  #isRebalancing = false

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
      grown: () => consumer.joinGroup({}).catch((error: Error) => this.#membership?.failed(error)),
    })
    const membership = this.#begin(fetching, events)
    try {
      await consumer.joinGroup({})
      if (consumer.memberId === null && this.#membership === membership) throw refusal()
    } catch (error) {
      membership.end()
      throw error
    }
  }

  #begin(fetching: Fetching, events: MemberEvents): Membership {
    const consumer = this.#consumer
    const ending = new AbortController()
    const failed = (error: Error): void => void this.#rejoin(error, fetching, events, ending.signal)
    const doubt = new Doubt(this.#clock, failed)
    const beats = (): void => doubt.end()
    const beaten = (): void => events.beaten()
    const rebalances = (): void => void (this.#isRebalancing = true)
    const joined = (): void => {
      this.#isRebalancing = false
      doubt.end()
      this.#changed(fetching, events)
    }
    for (const event of BEATS) consumer.on(event, beats)
    consumer.on(REBALANCE, rebalances)
    consumer.on(JOIN, joined)
    consumer.on(HEARTBEAT, beaten)
    consumer.on('error', failed)
    this.#fetching = fetching
    return (this.#membership = {
      failed,
      doubt: (error) => doubt.begin(error),
      end() {
        ending.abort()
        doubt.end()
        fetching.end()
        for (const event of BEATS) consumer.off(event, beats)
        consumer.off(REBALANCE, rebalances)
        consumer.off(JOIN, joined)
        consumer.off(HEARTBEAT, beaten)
        // Without a listener, one that comes late would end the process.
        consumer.on('error', () => undefined)
        consumer.off('error', failed)
      },
    })
  }

  #changed(fetching: Fetching, events: MemberEvents): void {
    const { assignments, generationId, memberId } = this.#consumer
    const assigned = (assignments ?? []).flatMap(({ topic, partitions }) =>
      partitions.map((partition) => ({ topic, partition })),
    )
    if (this.#isOf(this.generation) && fetching.isOf(assigned)) return
    const isOther = ![undefined, memberId].includes(this.generation.memberId)
    this.generation = {
      id: generationId,
      memberId: memberId ?? undefined,
    }
    for (const places of isOther ? [[], assigned] : [assigned]) {
      fetching.assign(places)
      events.assigned(places, this.generation)
    }
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

  /**
   * What was refused the client sends again as soon as it has joined again, in the name of the member that it
   * is then. So it asks for the offsets each time, and gets none when others may have been assigned: what
   * went to another member, who is further, would be set back. One that waits behind the client's joining
   * would be refused after it, and the client join once more, for which all others do, without an end.
   */
  async commit(offsets: readonly CommittedOffset[]): Promise<void> {
    const { generation } = this
    const membership = this.#membership
    let isStill = true
    const raw = offsets.map(rawOf)
    const still = (): typeof raw => {
      isStill = this.generation === generation && this.#isOf(generation) && !this.#isRebalancing
      return isStill ? raw : []
    }
    if (still().length > 0) {
      try {
        await this.#consumer.commit({
          get offsets() {
            return still()
          },
        })
      } catch (error) {
        membership?.doubt(error as Error)
        throw error
      }
    }
    if (!isStill) throw new Rebalancing()
  }

  /** Not while the client joins: it is in the new one then, and has nothing yet. */
  #isOf({ id, memberId }: Generation): boolean {
    return this.#consumer.generationId === id && this.#consumer.memberId === memberId
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
    this.#isRebalancing = false
    this.generation = UNKNOWN
  }
}

interface Membership {
  /** The client could not join again, and tries it no more. */
  failed(error: Error): void
  /** Something of the client's failed after which it may have joined again, or not. */
  doubt(error: Error): void
  end(): void
}

/**
 * A client that cannot join again after a commit was refused tells it to whoever committed alone: its heart
 * stands still, and it is no member any more.
 */
class Doubt {
  readonly #clock: Clock
  readonly #confirmed: (error: Error) => void
  #timer: ReturnType<Clock['after']> | undefined

  constructor(clock: Clock, confirmed: (error: Error) => void) {
    this.#clock = clock
    this.#confirmed = confirmed
  }

  begin(error: Error): void {
    this.#timer ??= this.#clock.after(SILENT_MS, () => {
      this.#timer = undefined
      this.#confirmed(error)
    })
  }

  /** It beats. */
  end(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }
}

function rawOf({ topic, partition, offset }: CommittedOffset) {
  return { topic, partition, offset: BigInt(offset), leaderEpoch: -1 }
}

class Rebalancing extends Error {
  override readonly name = 'Rebalancing'
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
