export { duplicateKeyOf } from './duplicate-key.ts'
export { sqliteStoreDefaults } from './options.ts'
export type { SqliteStoreOptions, Synchronous } from './options.ts'
export { SqliteStore } from './store.ts'
