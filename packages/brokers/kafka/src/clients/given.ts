import { OptionError } from '@oncemq/core'
import type { Clock } from '@oncemq/core/broker'
import { received } from '@oncemq/core/broker'
import type { RawConfluentProducer } from './confluent.ts'
import { confluentProducer } from './confluent.ts'
import { kafkajs } from './kafkajs.ts'
import type { RawConsumer } from './kafkajs-member.ts'
import { kafkajsMember } from './kafkajs-member.ts'
import type { RawProducer } from './kafkajs-producer.ts'
import { kafkajsProducer } from './kafkajs-producer.ts'
import type { RawKafka } from './kafkajs-raw.ts'
import { kafkajsTransactions } from './kafkajs-transactional.ts'
import { platformatic, platformaticMember, platformaticProducer } from './platformatic.ts'
import type { RawPlatformatic, RawPlatformaticConsumer, RawPlatformaticProducer } from './platformatic-raw.ts'
import type { ClientPort, GroupMember, RecordProducer, TransactionClient } from './port.ts'

type Client = 'kafkajs' | 'platformatic'

/** By what each client's parts are recognised. */
const METHODS: Readonly<Record<'client' | 'consumer' | 'producer', Readonly<Record<Client, string>>>> = {
  client: { kafkajs: 'consumer producer admin', platformatic: 'Consumer Producer Admin' },
  consumer: {
    kafkajs: 'connect disconnect subscribe run stop commitOffsets pause resume seek on',
    platformatic: 'joinGroup leaveGroup commit fetch metadata listOffsets listCommittedOffsets close on off',
  },
  producer: { kafkajs: 'connect disconnect send', platformatic: 'send beginTransaction close' },
}
/** That of `@confluentinc/kafka-javascript`, which is like that of kafkajs, has this besides. */
const CONFLUENT = ['dependentAdmin']

const REMEDY: Readonly<Record<keyof typeof METHODS, string>> = {
  client:
    'pass new Kafka({ ... }) of kafkajs, or { Consumer, Producer, Admin, options } of @platformatic/kafka',
  consumer: 'pass kafka.consumer({ groupId }) of kafkajs, or new Consumer({ ... }) of @platformatic/kafka',
  producer: 'pass kafka.producer() of kafkajs, or new Producer({ ... }) of @platformatic/kafka',
}

/** @throws OptionError for what is no part of a client that is known. */
export function requirePart(name: keyof typeof METHODS, value: unknown): void {
  if (clientOfPart(name, value) === undefined) {
    throw new OptionError(
      `${name}: expected that of a Kafka client, received ${received(value)}; ${REMEDY[name]}`,
    )
  }
}

function clientOfPart(name: keyof typeof METHODS, value: unknown): Client | undefined {
  const clients = Object.keys(METHODS[name]) as Client[]
  return clients.find((client) => hasMethods(value, METHODS[name][client].split(' ')))
}

function hasMethods(value: unknown, methods: readonly string[]): boolean {
  if (typeof value !== 'object' || value === null) return false
  return methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function')
}

/** What a user has given, as this package calls it. */
export function clientOf(client: unknown, clock: Clock): ClientPort {
  return clientOfPart('client', client) === 'platformatic'
    ? platformatic(client as RawPlatformatic, clock)
    : kafkajs(client as RawKafka, clock)
}

export function memberOf(consumer: unknown, clock: Clock): GroupMember {
  return clientOfPart('consumer', consumer) === 'platformatic'
    ? platformaticMember(consumer as RawPlatformaticConsumer, clock)
    : kafkajsMember(consumer as RawConsumer, clock)
}

export function producerOf(producer: unknown): RecordProducer {
  if (hasMethods(producer, CONFLUENT)) return confluentProducer(producer as RawConfluentProducer)
  return clientOfPart('producer', producer) === 'platformatic'
    ? platformaticProducer(producer as RawPlatformaticProducer)
    : kafkajsProducer(producer as RawProducer)
}

/**
 * For `exactlyOnce`: kafkajs, whose producers need nothing of the consumer, and keep a text with an offset.
 * @throws OptionError for another client.
 */
export function transactionsOf(client: unknown, clock: Clock): TransactionClient {
  if (clientOfPart('client', client) !== 'kafkajs') {
    throw new OptionError(
      'client: expected the Kafka object of kafkajs, whose transactions are taken, received ' +
        `${received(client)}; pass new Kafka({ ... }), and give consume the client that is to read`,
    )
  }
  return kafkajsTransactions(client as RawKafka, clock)
}
