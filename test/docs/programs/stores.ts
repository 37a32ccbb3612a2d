// Every store, made as its user makes it for the first ten minutes. Nothing connects before `open()`.
import { createDeduplicator, MemoryStore } from '@oncemq/core'
import { MongoStore } from '@oncemq/mongodb'
import { MysqlStore } from '@oncemq/mysql'
import { PostgresStore } from '@oncemq/postgres'
import { RedisStore } from '@oncemq/redis'
import { SqliteStore } from '@oncemq/sqlite'

// #region stores
const stores = [
  new SqliteStore({ path: 'oncemq.db' }),
  new MongoStore({ url: 'mongodb://127.0.0.1:27017/shop' }),
  new RedisStore({ url: 'redis://127.0.0.1:6379' }),
  new PostgresStore({ url: 'postgres://shop@127.0.0.1/shop' }),
  new MysqlStore({ url: 'mysql://shop@127.0.0.1/shop' }),
  new MemoryStore(), // for tests: it forgets when the process ends
]
// #endregion

for (const store of stores) {
  createDeduplicator({ store, consumerGroup: 'billing' })
  const { sharedBy, transactional } = store.guarantees
  const strategies = transactional ? 'lease, transactional' : 'lease'
  console.log(`${store.name.padEnd(8)}  shared by one ${sharedBy.padEnd(7)}  ${strategies}`)
}
