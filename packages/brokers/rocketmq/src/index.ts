export type {
  ConsumeResults,
  RocketmqClient,
  RocketmqMessage,
  RocketmqProducer,
  RocketmqSimpleConsumer,
} from './client.ts'
export { consume } from './consumer.ts'
export type { MessageContext } from './given-message.ts'
export { contextOf } from './given-message.ts'
export type { ClientTimeOptions } from './lifecycle.ts'
export { clientTimeDefaults, startClient, stopClient } from './lifecycle.ts'
export { dedupListener } from './listener.ts'
export type { KeyOf, MessageKeysOptions } from './message.ts'
export { jsonField, messageId, messageKeys, property } from './message.ts'
export type {
  ConsumeOptions,
  DedupListenerOptions,
  DedupSimpleConsumerOptions,
  MessageHandler,
  MessageListener,
  ParkingOptions,
  SharedOptions,
} from './options.ts'
export { consumeDefaults, dedupListenerDefaults, dedupSimpleConsumerDefaults } from './options.ts'
export { parkedProperties } from './parked-copy.ts'
export { dedupSimpleConsumer } from './simple-consumer.ts'
export { stampKeys } from './stamp-keys.ts'
export type { Consumer } from '@oncemq/core/broker'
