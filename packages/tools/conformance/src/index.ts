export type { BrokerContext } from './broker/context.ts'
export type {
  BrokerBench,
  BrokerNeed,
  BrokerOpenContext,
  BrokerSuiteOptions,
  ConsumeRequest,
  SuiteConsumer,
  SuiteDeadLetter,
  SuiteDelivery,
  SuiteMessage,
  SuiteQueue,
} from './broker/options.ts'
export { brokerProperties } from './broker/properties.ts'
export type { BrokerCase, BrokerProperty } from './broker/property.ts'
export { runBrokerCase } from './broker/run-case.ts'
export type { SuiteStore } from './broker/suite-store.ts'
export { testBroker } from './broker/test-broker.ts'
export type { Property, PropertyCase } from './property.ts'
export { registerProperties } from './register.ts'
export type { StoreNeed } from './store/capabilities.ts'
export type { StoreContext } from './store/context.ts'
export type { StoreEffects, StoreOpenContext, StoreSuiteOptions } from './store/options.ts'
export { storeProperties } from './store/properties.ts'
export type { StoreCase, StoreProperty } from './store/property.ts'
export { runStoreCase } from './store/run-case.ts'
export { testStore } from './store/test-store.ts'
