import type { Clock } from '@oncemq/core/broker'
import type { HeaderValue, OutgoingMessage } from '../client.ts'
import { PlatformaticMember } from './platformatic-member.ts'
import type {
  RawOutgoing,
  RawPlatformatic,
  RawPlatformaticAdmin,
  RawPlatformaticConsumer,
  RawPlatformaticProducer,
  RawPlatformaticTransaction,
} from './platformatic-raw.ts'
import { has } from './platformatic-raw.ts'
import type {
  ClientPort,
  GroupMember,
  ProducerTransaction,
  RecordProducer,
  TopicAdmin,
  TransactionalProducer,
} from './port.ts'

/** All replicas that are in step have it. */
const ALL = -1
const TOPIC = 2
/** Without them the client asks as the owner of a producer id that it has not got, and is fenced itself. */
const NO_ID = { producerId: -1n, producerEpoch: -1 }

/** `@platformatic/kafka`, by its classes and the options that they are made with. */
export function platformatic(client: RawPlatformatic, clock: Clock): ClientPort {
  const { Consumer, Producer, Admin, options } = client
  return {
    member(groupId) {
      const [consumer, fetcher] = [1, 2].map(() => new Consumer({ ...options, groupId }))
      return new PlatformaticMember(
        consumer as RawPlatformaticConsumer,
        fetcher as RawPlatformaticConsumer,
        clock,
      )
    },
    producer: () => platformaticProducer(new Producer({ ...options })),
    transactional: (transactionalId) =>
      platformaticTransactional(new Producer({ ...options, transactionalId, idempotent: true })),
    admin: () => platformaticAdmin(new Admin({ ...options })),
  }
}

/** One client alone: a heart waits for a fetch, if not for long. */
export function platformaticMember(consumer: RawPlatformaticConsumer, clock: Clock): GroupMember {
  return new PlatformaticMember(consumer, consumer, clock)
}

export function platformaticProducer(producer: RawPlatformaticProducer): RecordProducer {
  return {
    async send(topic, message, { compressed }) {
      const messages = [rawOf(topic, message)]
      await producer.send({ messages, acks: ALL, compression: compressed ? 'gzip' : 'none' })
    },
    close: () => producer.close(true).catch(() => undefined),
  }
}

export function platformaticTransactional(producer: RawPlatformaticProducer): TransactionalProducer {
  return {
    begin: async () => new Transaction(await producer.beginTransaction(NO_ID)),
    close: () => producer.close(true).catch(() => undefined),
  }
}

/**
 * One call after the other: of calls of the same kind that run side by side the client makes one, and tells
 * all of them that theirs is done.
 */
class Transaction implements ProducerTransaction {
  readonly #raw: RawPlatformaticTransaction
  #last: Promise<unknown> = Promise.resolve()

  constructor(raw: RawPlatformaticTransaction) {
    this.#raw = raw
  }

  send(topic: string, messages: readonly OutgoingMessage[]): Promise<void> {
    return this.#inTurn(async () => {
      await this.#raw.send({ messages: messages.map((message) => rawOf(topic, message)), acks: ALL })
    })
  }

  sendOffsets(...[groupId, generation, offsets]: Parameters<ProducerTransaction['sendOffsets']>) {
    const { id: generationId, memberId, coordinatorId } = generation
    const consumer = { groupId, generationId, memberId, coordinatorId }
    return this.#inTurn(async () => {
      await this.#raw.addConsumer({ groupId })
      for (const { topic, partition, offset } of offsets) {
        // The client takes a message that was handled, and commits the offset after it.
        const handled = { topic, partition, offset: BigInt(offset) - 1n }
        await this.#raw.addOffset({ ...handled, metadata: { consumer } })
      }
    })
  }

  commit(): Promise<void> {
    return this.#inTurn(() => this.#raw.commit())
  }

  abort(): Promise<void> {
    return this.#inTurn(() => this.#raw.abort())
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => undefined)
    return turn
  }
}

function rawOf(topic: string, { key, value, headers }: OutgoingMessage): RawOutgoing {
  const entries = Object.entries(headers).flatMap(([name, values]) =>
    [values].flat().map((text) => [Buffer.from(name), bytesOf(text)] as const),
  )
  return { topic, key: key ?? undefined, value, headers: new Map(entries) }
}

function bytesOf(value: HeaderValue): Buffer {
  return Buffer.isBuffer(value) ? value : Buffer.from(String(value ?? ''))
}

function platformaticAdmin(admin: RawPlatformaticAdmin): TopicAdmin {
  return {
    connect: async () => undefined,
    topics: async () => new Set(await admin.listTopics()),
    async config(resourceName, name) {
      const resources = [{ resourceType: TOPIC, resourceName, configurationKeys: [name] }]
      const [answer] = await admin.describeConfigs({ resources })
      return answer?.configs.find((config) => config.name === name)?.value ?? undefined
    },
    async create(topics) {
      for (const { topic, config } of topics) {
        const configs = Object.entries(config).map(([name, value]) => ({ name, value }))
        try {
          await admin.createTopics({ topics: [topic], configs })
        } catch (error) {
          if (!has(error, 'apiId', 'TOPIC_ALREADY_EXISTS')) throw error
        }
      }
    },
    isAnswer: (error) => has(error, 'code', 'PLT_KFK_PROTOCOL'),
    close: () => admin.close().catch(() => undefined),
  }
}
