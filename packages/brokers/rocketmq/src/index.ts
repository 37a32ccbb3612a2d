export type {
  ConsumeResults,
  RocketmqClient,
  RocketmqMessage,
  RocketmqProducer,
  RocketmqSimpleConsumer,
} from './client.ts'
export { Consumer, consume } from './consumer.ts'
export type { MessageContext } from './delivery.ts'
export { contextOf } from './delivery.ts'
export { dedupListener } from './listener.ts'
export type { KeyOf, KeyParts, MessageKeysOptions } from './message.ts'
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
export { dedupSimpleConsumer } from './simple-consumer.ts'
export { stampKeys } from './stamp-keys.ts'
export type { CheckedOptions } from './startup.ts'
export { checkedDefaults, checkedShutdown, checkedStartup } from './startup.ts'
