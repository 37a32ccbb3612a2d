export type { PostgresClient, PostgresPool, PostgresQuery, PostgresResult } from './client.ts'
export { postgresStoreDefaults } from './options.ts'
export type { Isolation, PostgresStoreOptions } from './options.ts'
export { PostgresStore } from './store.ts'
