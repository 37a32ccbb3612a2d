import type { Clock } from '@oncemq/core/broker'
import type { KafkaClient, KafkaConsumer, KafkaProducer } from '../client.ts'
import type { RawKafka } from './kafkajs.ts'
import { kafkajs } from './kafkajs.ts'
import type { RawConsumer } from './kafkajs-member.ts'
import { kafkajsMember } from './kafkajs-member.ts'
import type { RawProducer } from './kafkajs-producer.ts'
import { kafkajsProducer } from './kafkajs-producer.ts'
import type { ClientPort, GroupMember, RecordProducer } from './port.ts'

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
