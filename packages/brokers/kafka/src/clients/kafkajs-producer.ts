import type { CommittedOffset, OutgoingMessage } from '../client.ts'
import type { RecordProducer, TransactionMessage } from './port.ts'

/** All replicas that are in step have it. */
export const ALL = -1
export const GZIP = 1
export const NONE = 0
/** A producer as it is called here. */
export interface RawProducer {
  connect(): Promise<void>
  disconnect(): Promise<void>
  send(record: {
    topic: string
    acks: number
    compression: number
    messages: readonly OutgoingMessage[]
  }): Promise<unknown>
  transaction(): Promise<RawTransaction>
}

/** A transaction as it is called here. */
export interface RawTransaction {
  send(record: {
    topic: string
    acks: number
    compression: number
    messages: readonly TransactionMessage[]
  }): Promise<readonly { readonly partition: number }[]>
  sendOffsets(offsets: {
    consumerGroupId: string
    topics: readonly { topic: string; partitions: readonly Omit<CommittedOffset, 'topic'>[] }[]
  }): Promise<void>
  commit(): Promise<void>
  abort(): Promise<void>
}

export function kafkajsProducer(producer: RawProducer): RecordProducer {
  const connected = connecting(producer)
  return {
    async send(topic, message, { compressed }) {
      await connected()
      await producer.send({
        topic,
        acks: ALL,
        compression: compressed ? GZIP : NONE,
        messages: [message],
      })
    },
    close: () => producer.disconnect().catch(() => undefined),
  }
}

/** Connecting twice is nothing to a client, so a producer of the user's may be connected already. */
export function connecting(producer: Pick<RawProducer, 'connect'>): () => Promise<void> {
  let connected: Promise<void> | undefined
  return () => {
    connected ??= producer.connect().catch((error: unknown) => {
      connected = undefined
      throw error
    })
    return connected
  }
}
