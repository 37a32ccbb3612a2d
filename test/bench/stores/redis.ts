import { RedisStore } from '@oncemq/redis'
import { service } from '@oncemq/test-services'
import type { Server } from '@oncemq/test-services'
import { Cluster, Redis } from 'ioredis'
import { processesOf } from '../processor-time.ts'
import type { BenchStore } from './bench-store.ts'

const LEASE_MS = 30_000
const RETENTION_MS = 86_400_000

// To rewrite its log the server starts a second process, which would fall upon whichever row is at work.
export const REDIS = { own: true, args: ['--auto-aof-rewrite-percentage', '0'] }

/** Both with ioredis, each with a connection of its own; the append-only file is synced each second. */
export const redis: BenchStore = {
  name: 'redis',
  async open() {
    const server = await service('redis-8', REDIS)
    return opened(server, () => new Redis(server.url))
  },
}

/** Three masters. */
export const redisCluster: BenchStore = {
  name: 'redis-cluster',
  async open() {
    const server = await service('redis-cluster', REDIS)
    const { hostname, port } = new URL(server.url)
    return opened(server, () => new Cluster([{ host: hostname, port: Number(port) }]))
  },
}

function opened(server: Server, connect: () => Redis | Cluster) {
  const [mine, theirs] = [connect(), connect()]
  return {
    store: new RedisStore({ client: mine }),
    naive: {
      async handle(key: string) {
        await theirs.set(key, 'running', 'PX', LEASE_MS, 'NX')
        await theirs.set(key, 'done', 'PX', RETENTION_MS)
      },
    },
    processes: processesOf(server),
    async close() {
      mine.disconnect()
      theirs.disconnect()
      await server.close()
    },
  }
}
