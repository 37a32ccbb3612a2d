import { RedisStore } from '@oncemq/redis'
import { service } from '@oncemq/test-services'
import { Redis } from 'ioredis'
import { processesOf } from '../processor-time.ts'
import { REDIS } from '../stores/redis.ts'
import type { HandWritten } from './hand-written.ts'

const DAY_SECONDS = 86_400

/** As the articles have it: SETNX, then EXPIRE. */
export const redis: HandWritten = {
  name: 'redis',
  async open(throughNetwork) {
    const server = await service('redis-8', REDIS)
    const url = await throughNetwork(server.url)
    const [client, storeClient] = [new Redis(url), new Redis(url)]
    return {
      url,
      store: new RedisStore({ client: storeClient }),
      async lease(key) {
        if ((await client.setnx(key, '1')) === 1) await client.expire(key, DAY_SECONDS)
      },
      transactional: undefined,
      processes: processesOf(server),
      async close() {
        client.disconnect()
        storeClient.disconnect()
        await server.close()
      },
    }
  },
}
