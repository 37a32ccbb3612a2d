import { randomInt } from 'node:crypto'
import type { Deduplicator, DeduplicatorOptions } from '@oncemq/core'
import { createDeduplicator, MemoryStore } from '@oncemq/core'
import { declareKafka } from '@oncemq/test-services/kafka'
import { Admin } from '@platformatic/kafka'
import type { Consumer, ConsumerConfig, IHeaders } from 'kafkajs'
import { Kafka, logLevel } from 'kafkajs'
import { onTestFinished } from 'vitest'
import type { ConsumeOptions, KafkaClient } from '../src/index.ts'
import { consume } from '../src/index.ts'
import { HEARTBEAT_MS, platformaticOf, SESSION_MS } from './platformatic.ts'

const SOON = { firstMs: 20, factor: 1 }
const WAIT_MS = 30_000
const LOOK_EVERY_MS = 20

/** A group waits for a member that is cut off until its session ends: 30 s by default. */
class KafkaOfShortSessions extends Kafka {
  override consumer(config: ConsumerConfig): Consumer {
    return super.consumer({ sessionTimeout: SESSION_MS, heartbeatInterval: HEARTBEAT_MS, ...config })
  }
}

export function clientOf(url: string): Kafka {
  const retry = { initialRetryTime: 50, maxRetryTime: 500, retries: 20 }
  return new KafkaOfShortSessions({ brokers: [new URL(url).host], retry, logLevel: logLevel.NOTHING })
}

/** The clients that are tested, each with waits that are short enough for tests. */
export const clients = Object.freeze({
  kafkajs: (url: string): KafkaClient => clientOf(url),
  platformatic: (url: string): KafkaClient => platformaticOf(new URL(url).host),
})

export type ClientName = keyof typeof clients

export const clientNames = Object.keys(clients) as readonly ClientName[]

export function deduplicator(
  options: Partial<DeduplicatorOptions> & { strategy?: 'lease' } = {},
): Deduplicator {
  const logger = { warn: () => undefined }
  const dedup = createDeduplicator({
    store: new MemoryStore(),
    consumerGroup: nameOf('g'),
    logger,
    ...options,
  })
  onTestFinished(() => dedup.close({ timeoutMs: 100 }))
  return dedup
}

/** Consumes until the test has ended. */
export async function running(
  topic: Topic,
  options: { [Name in keyof ConsumeOptions]?: ConsumeOptions[Name] | undefined },
) {
  const dedup = options.dedup ?? deduplicator()
  const given = { client: topic.client, topics: [topic.name], retry: SOON, ...options, dedup }
  // Where a test gives a consumer of its own, it takes the client away.
  const entries = Object.entries(given).filter(([, value]) => value !== undefined)
  const consumer = await consume(Object.fromEntries(entries) as unknown as ConsumeOptions)
  onTestFinished(() => consumer.close({ timeoutMs: 1000 }))
  return { dedup, consumer, group: dedup.settings.consumerGroup }
}

export function nameOf(kind: string): string {
  return `${kind}${process.pid}-${randomInt(2 ** 31)}`
}

/**
 * Waits until `look` answers something true; fails with `what` when it does not in time. A look that throws
 * has no answer yet: a client may find no coordinator just after its broker was started again.
 */
export async function until(what: string, look: () => unknown, waitMs = WAIT_MS): Promise<void> {
  const endMs = performance.now() + waitMs
  for (;;) {
    let cause: unknown
    try {
      if (await look()) return
    } catch (error) {
      cause = error
    }
    if (performance.now() > endMs) throw new Error(`waited ${waitMs} ms for: ${what}`, { cause })
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
}

/** A topic of this test alone. */
export class Topic {
  readonly name: string
  /** With which the test looks on. */
  readonly kafka: Kafka
  /** With which records are consumed. */
  readonly client: KafkaClient
  readonly #host: string
  #producer: ReturnType<Kafka['producer']> | undefined

  private constructor(name: string, url: string, client: ClientName) {
    this.name = name
    this.kafka = clientOf(url)
    this.client = clients[client](url)
    this.#host = new URL(url).host
  }

  static async open(url: string, partitions = 1, client: ClientName = 'kafkajs', end = ''): Promise<Topic> {
    const name = `${nameOf('t')}${end}`
    await declareKafka(url, [{ name, partitions }, { name: `${name}.parked` }])
    return new Topic(name, url, client)
  }

  async send(...messages: { key?: string; value: string | null; partition?: number; headers?: IHeaders }[]) {
    if (this.#producer === undefined) {
      this.#producer = this.kafka.producer({
        allowAutoTopicCreation: false,
        idempotent: true,
        maxInFlightRequests: 1,
      })
      const producer = this.#producer
      await producer.connect()
      onTestFinished(() => producer.disconnect())
    }
    await this.#producer.send({ topic: this.name, messages })
  }

  /** The offset that the group has committed in a partition; -1 for none. */
  async committed(groupId: string, partition = 0): Promise<number> {
    return this.#admin(async (admin) => {
      const [topic] = await admin.fetchOffsets({ groupId, topics: [this.name] })
      return Number(topic?.partitions.find((each) => each.partition === partition)?.offset ?? -1)
    })
  }

  /** Says in place of a group that has no members how far it is: for which kafkajs joins it for 5 s. */
  async commit(groupId: string, offset: bigint, partition = 0): Promise<void> {
    const admin = new Admin({ clientId: 'test', bootstrapBrokers: [this.#host] })
    const topics = [{ name: this.name, partitionOffsets: [{ partition, offset }] }]
    try {
      await admin.alterConsumerGroupOffsets({ groupId, topics })
    } finally {
      await admin.close()
    }
  }

  /** Collects what comes to the topic of dead letters. */
  async deadLetters(): Promise<{ readonly value: string; readonly headers: Record<string, string> }[]> {
    const letters: { readonly value: string; readonly headers: Record<string, string> }[] = []
    const reader = this.kafka.consumer({ groupId: nameOf('r'), maxWaitTimeInMs: 100 })
    await reader.subscribe({ topics: [`${this.name}.parked`], fromBeginning: true })
    await reader.run({
      eachMessage: async ({ message: { value, headers = {} } }) => {
        const texts = Object.entries(headers).map(([name, text]) => [name, String(text)])
        letters.push({ value: String(value), headers: Object.fromEntries(texts) as Record<string, string> })
      },
    })
    onTestFinished(() => reader.disconnect())
    return letters
  }

  async deleteParking(): Promise<void> {
    await this.#admin((admin) => admin.deleteTopics({ topics: [`${this.name}.parked`] }))
  }

  async makeParking(url: string): Promise<void> {
    await declareKafka(url, [{ name: `${this.name}.parked` }])
  }

  async #admin<Answer>(use: (admin: ReturnType<Kafka['admin']>) => Promise<Answer>): Promise<Answer> {
    const admin = this.kafka.admin()
    await admin.connect()
    try {
      return await use(admin)
    } finally {
      await admin.disconnect()
    }
  }
}
