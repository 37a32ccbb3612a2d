import type { Clock } from '@oncemq/core/broker'
import type { HeaderValue, OutgoingMessage } from '../client.ts'
import { PlatformaticMember } from './platformatic-member.ts'
import type {
  RawOutgoing,
  RawPlatformatic,
  RawPlatformaticAdmin,
  RawPlatformaticConsumer,
  RawPlatformaticProducer,
} from './platformatic-raw.ts'
import { has } from './platformatic-raw.ts'
import type { ClientPort, GroupMember, RecordProducer, TopicAdmin } from './port.ts'

/** All replicas that are in step have it. */
const ALL = -1
const TOPIC = 2

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
