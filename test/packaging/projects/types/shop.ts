import { createDeduplicator, isOncemqError, MemoryStore, PermanentError } from '@oncemq/core'
import type { Deduplicator, HandlerContext } from '@oncemq/core'
import { ManagedConsumer } from '@oncemq/core/broker'
import type { Store } from '@oncemq/core/store'
import { StoreError } from '@oncemq/core/store'
import { VirtualClock } from '@oncemq/core/testing'
import { testStore } from '@oncemq/conformance'
import { dedupEachBatch } from '@oncemq/kafka'
import { MongoStore } from '@oncemq/mongodb'
import { MysqlStore } from '@oncemq/mysql'
import { PostgresStore } from '@oncemq/postgres'
import { dedupChannel } from '@oncemq/rabbitmq'
import { RedisStore } from '@oncemq/redis'
import { dedupListener } from '@oncemq/rocketmq'
import { SqliteStore } from '@oncemq/sqlite'

export const doors = [
  ManagedConsumer,
  StoreError,
  VirtualClock,
  testStore,
  dedupEachBatch,
  dedupChannel,
  dedupListener,
  PermanentError,
]

export const stores: Store[] = [
  new MemoryStore(),
  new SqliteStore({ path: 'shop.db' }),
  new RedisStore({ url: 'redis://localhost' }),
]

/** A wrong type of `tx` is an error here, and so is `any`. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
export function same<A, B>(_: Same<A, B>): void {}

export function context<Tx>(_: Deduplicator<Tx>): HandlerContext<Tx> {
  throw new Error('not called')
}

const group = { consumerGroup: 'billing', strategy: 'transactional' } as const
export const postgres = createDeduplicator({
  store: new PostgresStore({ url: 'postgres://localhost' }),
  ...group,
})
export const mysql = createDeduplicator({ store: new MysqlStore({ url: 'mysql://localhost' }), ...group })
export const mongo = createDeduplicator({ store: new MongoStore({ url: 'mongodb://localhost' }), ...group })

export function codeOf(error: unknown): string | undefined {
  return isOncemqError(error) ? error.code : undefined
}
