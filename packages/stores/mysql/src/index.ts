export type { MysqlConnection, MysqlPool, MysqlQuery } from './client.ts'
export { mysqlStoreDefaults } from './options.ts'
export type { Isolation, MysqlStoreOptions } from './options.ts'
export { MysqlStore } from './store.ts'
