import type { RedisClient } from '@oncemq/redis'
import * as ioredis from 'ioredis'
import * as previousIoredis from 'ioredis-5'
import * as oldestIoredis from 'ioredis-5-0'
import * as nodeRedis from 'redis'
import * as previousNodeRedis from 'redis-5'
import * as oldestNodeRedis from 'redis-5-0'
import { afterAll } from 'vitest'

/** A client of each package and version that the store promises to work with. */
export interface Driver {
  readonly name: string
  readonly single: (url: string) => Promise<RedisClient>
  readonly cluster: (url: string) => Promise<RedisClient>
}

const ends: (() => unknown)[] = []
afterAll(() => Promise.all(ends.map((end) => end())))

interface Noisy {
  on(event: 'error', listener: () => void): unknown
}

/** Ends the client with the test file. That its server is gone, which it tells by itself, is no news. */
export function ending<Client extends Noisy>(client: Client, end: (client: Client) => unknown): Client {
  client.on('error', () => {})
  ends.push(() => end(client))
  return client
}

function nodeOf(url: string): { host: string; port: number } {
  const { hostname, port } = new URL(url)
  return { host: hostname, port: Number(port) }
}

export const ioredis6: Driver = {
  name: 'ioredis 6',
  single: async (url) => ending(new ioredis.Redis(url), (client) => client.disconnect()),
  cluster: async (url) => ending(new ioredis.Cluster([nodeOf(url)]), (client) => client.disconnect()),
}

export const ioredis5: Driver = {
  name: 'ioredis 5',
  single: async (url) => ending(new previousIoredis.Redis(url), (client) => client.disconnect()),
  cluster: async (url) => ending(new previousIoredis.Cluster([nodeOf(url)]), (client) => client.disconnect()),
}

export const redis6: Driver = {
  name: 'redis 6',
  single: async (url) =>
    ending(await nodeRedis.createClient({ url }).connect(), (client) => client.destroy()),
  async cluster(url) {
    const cluster = nodeRedis.createCluster({ rootNodes: [{ url }] })
    await cluster.connect()
    return ending(cluster, () => cluster.destroy())
  },
}

export const redis5: Driver = {
  name: 'redis 5',
  single: async (url) =>
    ending(await previousNodeRedis.createClient({ url }).connect(), (client) => client.destroy()),
  async cluster(url) {
    const cluster = previousNodeRedis.createCluster({ rootNodes: [{ url }] })
    await cluster.connect()
    return ending(cluster, () => cluster.destroy())
  },
}

/** The oldest of each range, beside the newest ones above. */
export const oldest: readonly Omit<Driver, 'cluster'>[] = [
  {
    name: 'ioredis 5.0',
    single: async (url) => {
      const Redis = oldestIoredis.default as unknown as typeof ioredis.Redis
      return ending(new Redis(url), (client) => client.disconnect())
    },
  },
  {
    name: 'redis 5.0',
    single: async (url) =>
      ending(await oldestNodeRedis.createClient({ url }).connect(), (client) => client.destroy()),
  },
]

export const drivers: readonly Driver[] = [ioredis6, ioredis5, redis6, redis5]
