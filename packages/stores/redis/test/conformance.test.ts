import { testStore } from '@oncemq/conformance'
import { RedisStore } from '@oncemq/redis'
import { describeService } from '@oncemq/test-services/vitest'

describeService('redis-8', ({ url }) => {
  testStore('redis', { open: ({ namespace }) => new RedisStore({ url, prefix: namespace }) })
})
