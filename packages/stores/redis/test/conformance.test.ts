import { testStore } from '@oncemq/conformance'
import { RedisStore } from '@oncemq/redis'
import { describeService } from '@oncemq/test-services/vitest'
import { ioredis5, redis6 } from './drivers.ts'

// Everything on the disk before it is answered: only then are records promised to be durable.
describeService('redis-8', { args: ['--appendfsync', 'always'] }, ({ url }) => {
  testStore('redis', { open: ({ namespace }) => new RedisStore({ url, prefix: namespace }) })
})

describeService('redis-7', async ({ url }) => {
  const client = await redis6.single(url)
  testStore('redis', { open: ({ namespace }) => new RedisStore({ client, prefix: namespace }) })
})

describeService('valkey-8', async ({ url }) => {
  const client = await ioredis5.single(url)
  testStore('redis', { open: ({ namespace }) => new RedisStore({ client, prefix: namespace }) })
})
