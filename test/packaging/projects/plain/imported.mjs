// The same as an ES module.
import { createDeduplicator, MemoryStore } from '@oncemq/core'
import { ManagedConsumer } from '@oncemq/core/broker'
import { LifeCycle } from '@oncemq/core/store'
import { VirtualClock } from '@oncemq/core/testing'
import * as kafka from '@oncemq/kafka'
import * as mongodb from '@oncemq/mongodb'
import * as mysql from '@oncemq/mysql'
import * as postgres from '@oncemq/postgres'
import * as rabbitmq from '@oncemq/rabbitmq'
import * as redis from '@oncemq/redis'
import * as rocketmq from '@oncemq/rocketmq'
import { SqliteStore } from '@oncemq/sqlite'

const adapters = [kafka, rabbitmq, rocketmq, mongodb, mysql, postgres, redis]
const loaded = adapters.every((each) => Object.keys(each).length > 0)
const doors = [LifeCycle, ManagedConsumer, VirtualClock].map((each) => typeof each)
const dedup = createDeduplicator({ store: new MemoryStore(), consumerGroup: 'billing' })
const outcomes = [await dedup.run('a', () => 1), await dedup.run('a', () => 2)]
await dedup.close()
let sqlite = 'works'
try {
  new SqliteStore({ path: ':memory:' })
} catch (error) {
  sqlite = error.message
}
const statuses = outcomes.map(({ status }) => status)
console.log(JSON.stringify({ loaded, doors, statuses, sqlite }))
