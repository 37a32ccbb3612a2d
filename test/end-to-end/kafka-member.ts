import { Admin, Consumer, Producer } from '@platformatic/kafka'
import type { ConsumeOptions } from '@oncemq/kafka'
import { clientOf } from './kafka-topic.ts'

/** How soon a killed member is no member any more. */
const SESSION_MS = 3000
const HEARTBEAT_MS = 500
const FETCH_WAIT_MS = 200

export type KafkaClientName = 'kafkajs' | 'platformatic'

/** The part of a client by which a program of a worker is a member of its topic's group. */
export function memberOf(
  name: KafkaClientName,
  url: string,
  groupId: string,
): Pick<ConsumeOptions, 'client' | 'consumer' | 'producer'> {
  const times = { sessionTimeout: SESSION_MS, heartbeatInterval: HEARTBEAT_MS }
  if (name === 'kafkajs') {
    const kafka = clientOf(url)
    return {
      consumer: kafka.consumer({ groupId, ...times, maxWaitTimeInMs: FETCH_WAIT_MS }),
      producer: kafka.producer({ allowAutoTopicCreation: false }),
    }
  }
  const base = { clientId: 'worker', bootstrapBrokers: [new URL(url).host], retryDelay: 100 }
  return { client: { Admin, Consumer, Producer, options: { ...base, ...times, rebalanceTimeout: 10_000 } } }
}
