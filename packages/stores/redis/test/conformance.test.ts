import { testStore } from '@oncemq/conformance'
import type { RedisStoreOptions } from '@oncemq/redis'
import { RedisStore } from '@oncemq/redis'
import { describeService } from '@oncemq/test-services/vitest'
import { Redis } from 'ioredis'
import { keysWith } from '../src/tags.ts'
import { ending, ioredis5, redis6 } from './drivers.ts'

/** What stands in the place of a record is a list of somebody else's. */
function testRedis(url: string, source: RedisStoreOptions): void {
  const admin = ending(new Redis(url), (client) => client.disconnect())
  testStore('redis', {
    open: ({ namespace }) => new RedisStore({ ...source, prefix: namespace }),
    spoil: async (namespace, id) => void (await admin.rpush(keysWith(namespace)(id), 'hello')),
  })
}

// Everything on the disk before it is answered: only then are records promised to be durable.
describeService('redis-8', { args: ['--appendfsync', 'always'] }, ({ url }) => testRedis(url, { url }))

describeService('redis-7', async ({ url }) => testRedis(url, { client: await redis6.single(url) }))

describeService('valkey-8', async ({ url }) => testRedis(url, { client: await ioredis5.single(url) }))
