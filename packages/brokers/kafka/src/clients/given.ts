import type { Clock } from '@oncemq/core/broker'
import type { KafkaClient, KafkaConsumer, KafkaProducer } from '../client.ts'
import type { RawKafka, RawProducer } from './kafkajs.ts'
import { kafkajs, kafkajsProducer, kafkajsTransactional } from './kafkajs.ts'
import type { RawConsumer } from './kafkajs-member.ts'
import { kafkajsMember } from './kafkajs-member.ts'
import type { ClientPort, GroupMember, RecordProducer, TransactionalProducer } from './port.ts'

/** What a user has given, as this package calls it. Its structure was checked before. */
export function clientOf(client: KafkaClient, clock: Clock): ClientPort {
  return kafkajs(client as unknown as RawKafka, clock)
}

export function memberOf(consumer: KafkaConsumer, clock: Clock): GroupMember {
  return kafkajsMember(consumer as unknown as RawConsumer, clock)
}

export function producerOf(producer: KafkaProducer): RecordProducer {
  return kafkajsProducer(producer as unknown as RawProducer)
}

/** Of a producer that has a transactional id. */
export function transactionalOf(producer: KafkaProducer): TransactionalProducer {
  return kafkajsTransactional(producer as unknown as RawProducer)
}
