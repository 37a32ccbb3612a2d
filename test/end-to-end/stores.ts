import type { Store } from '@oncemq/core'
import { MongoStore } from '@oncemq/mongodb'
import { MysqlStore } from '@oncemq/mysql'
import { PostgresStore } from '@oncemq/postgres'
import { RedisStore } from '@oncemq/redis'
import { SqliteStore } from '@oncemq/sqlite'

/** Short, so that a store that is down is noticed soon. */
const TIMEOUT_MS = 1000

/** Each opens the store at a URL, or a path for SQLite. */
export const stores = {
  sqlite: (path) => new SqliteStore({ path, busyTimeoutMs: TIMEOUT_MS }),
  mongodb: (url) => new MongoStore({ url, timeoutMs: TIMEOUT_MS }),
  redis: (url) => new RedisStore({ url, callTimeoutMs: TIMEOUT_MS }),
  postgres: (url) => new PostgresStore({ url, timeoutMs: TIMEOUT_MS }),
  mysql: (url) => new MysqlStore({ url, timeoutMs: TIMEOUT_MS }),
} satisfies Record<string, (url: string) => Store>

export type StoreName = keyof typeof stores
