import type { OutgoingMessage } from '../client.ts'
import type { RecordProducer } from './port.ts'

/** A producer of `@confluentinc/kafka-javascript`, by its API like that of kafkajs, as it is called here. */
export interface RawConfluentProducer {
  connect(): Promise<void>
  disconnect(): Promise<void>
  send(record: { topic: string; messages: readonly OutgoingMessage[] }): Promise<unknown>
}

/**
 * It takes neither acks nor compression with a record, and waits for all replicas in step by default. It also
 * throws when it is connected twice, as one of the user's may be: what it then sends tells whether it is.
 */
export function confluentProducer(producer: RawConfluentProducer): RecordProducer {
  let isConnected = false
  return {
    async send(topic, message) {
      const refusal: unknown = isConnected
        ? undefined
        : await producer.connect().catch((error: unknown) => error)
      try {
        await producer.send({ topic, messages: [message] })
        isConnected = true
      } catch (error) {
        throw refusal ?? error
      }
    },
    close: () => producer.disconnect().catch(() => undefined),
  }
}
