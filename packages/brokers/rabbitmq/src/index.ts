export type { AmqpChannel, AmqpConnection, AmqpFields, AmqpMessage, AmqpProperties } from './amqp.ts'
export { dedupChannel } from './channel.ts'
export { consume } from './consumer.ts'
export type { MessageContext } from './delivery.ts'
export { contextOf } from './delivery.ts'
export type { Listener } from './listener.ts'
export { dedupListener } from './listener.ts'
export type { KeyOf } from './message.ts'
export { cloudEvents, debeziumOutbox, header, jsonField, messageId } from './message.ts'
export type {
  ConsumeArguments,
  ConsumeOptions,
  DedupChannelOptions,
  DedupListenerOptions,
  MessageHandler,
  SharedOptions,
} from './options.ts'
export { consumeDefaults, dedupChannelDefaults } from './options.ts'
export type { AckOrNack, Recovery } from './rascal.ts'
export type { Reply } from './replies.ts'
export { stampId } from './stamp-id.ts'
export type { WaitQueueType } from './queues.ts'
export type { Consumer } from '@oncemq/core/broker'
