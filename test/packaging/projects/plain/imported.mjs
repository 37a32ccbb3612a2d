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
import { check } from './checks.cjs'

await check({
  core: { createDeduplicator, MemoryStore },
  sqlite: { SqliteStore },
  doors: [LifeCycle, ManagedConsumer, VirtualClock],
  adapters: [kafka, rabbitmq, rocketmq, mongodb, mysql, postgres, redis],
})
