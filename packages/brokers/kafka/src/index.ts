export type {
  HeaderValue,
  KafkaAdmin,
  KafkaClient,
  KafkaConsumer,
  KafkaMessage,
  KafkaProducer,
  KafkajsClient,
  KafkajsConsumer,
  KafkajsProducer,
  PlatformaticClient,
  PlatformaticConsumer,
  PlatformaticProducer,
} from './client.ts'
export type { BatchOptions, ExactlyOnceOptions } from './exactly-once/options.ts'
export { exactlyOnceDefaults } from './exactly-once/options.ts'
export { exactlyOnce } from './exactly-once/exactly-once.ts'
export type { KafkaTransaction, OutgoingRecords } from './exactly-once/transaction.ts'
export type { TransactionMessage } from './clients/port.ts'
export { consume } from './consumer.ts'
export { dedupEachBatch } from './each-batch.ts'
export { dedupEachMessage } from './each-message.ts'
export type { KeyOf } from './message.ts'
export { cloudEvents, debeziumOutbox, header, jsonField, messageId, position, recordKey } from './message.ts'
export type {
  ConsumeOptions,
  DedupEachBatchOptions,
  DedupEachMessageOptions,
  MessageHandler,
  Ordering,
  SharedOptions,
} from './options.ts'
export { consumeDefaults } from './options.ts'
export { parkedHeaders } from './parked-copy.ts'
export { stampId } from './stamp-id.ts'
export type { Consumer } from '@oncemq/core/broker'
