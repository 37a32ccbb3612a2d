// The same service on any store: to change it, change its line.
import { MongoStore } from '@oncemq/mongodb'
import { MysqlStore } from '@oncemq/mysql'
import { PostgresStore } from '@oncemq/postgres'
import { RedisStore } from '@oncemq/redis'
import { SqliteStore } from '@oncemq/sqlite'

const {
  ONCEMQ_SQLITE_PATH = 'order-service.db',
  ONCEMQ_MONGODB_URL = 'mongodb://127.0.0.1:27017/shop',
  ONCEMQ_REDIS_URL = 'redis://127.0.0.1:6379',
  ONCEMQ_POSTGRES_URL = 'postgres://postgres@127.0.0.1/postgres',
  ONCEMQ_MYSQL_URL = 'mysql://root@127.0.0.1/test',
} = process.env

// #region stores
export const stores = {
  sqlite: () => new SqliteStore({ path: ONCEMQ_SQLITE_PATH }),
  mongodb: () => new MongoStore({ url: ONCEMQ_MONGODB_URL }),
  redis: () => new RedisStore({ url: ONCEMQ_REDIS_URL }),
  postgres: () => new PostgresStore({ url: ONCEMQ_POSTGRES_URL }),
  mysql: () => new MysqlStore({ url: ONCEMQ_MYSQL_URL }),
}
// #endregion

export type StoreName = keyof typeof stores

export function isStoreName(name: string | undefined): name is StoreName {
  return name !== undefined && Object.hasOwn(stores, name)
}
