import type { MongoSession } from '@oncemq/mongodb'
import type { MysqlConnection } from '@oncemq/mysql'
import type { PostgresClient } from '@oncemq/postgres'
import { context, mongo, mysql, postgres, same } from './shop.js'

const tx = {
  postgres: context(postgres).tx,
  mysql: context(mysql).tx,
  mongo: context(mongo).tx,
}
same<typeof tx.postgres, PostgresClient>(true)
same<typeof tx.mysql, MysqlConnection>(true)
same<typeof tx.mongo, MongoSession>(true)
