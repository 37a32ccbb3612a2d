export { duplicateKeyOf } from './duplicate-key.ts'
export type { DocumentWrite, MongoWriter } from './insert-once.ts'
export { insertOnce, upsert } from './insert-once.ts'
export type {
  DriverSession,
  MongoClient,
  MongoCollection,
  MongoDatabase,
  MongoSession,
  MongoWriteConcern,
} from './client.ts'
export { mongoStoreDefaults } from './options.ts'
export type { MongoStoreOptions } from './options.ts'
export { MongoStore } from './store.ts'
