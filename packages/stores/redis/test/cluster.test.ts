import { testStore } from '@oncemq/conformance'
import { createDeduplicator } from '@oncemq/core'
import { RedisStore } from '@oncemq/redis'
import { describeService } from '@oncemq/test-services/vitest'
import { Redis } from 'ioredis'
import { describe, expect, test } from 'vitest'
import { drivers, ending, ioredis6, redis6 } from './drivers.ts'
import { claimsOf, completionOf, newHex } from '@oncemq/test-stores'
import { LIFE, lifeOf } from './life.ts'

describeService('redis-cluster', async ({ url }) => {
  for (const { name, cluster } of [ioredis6, redis6]) {
    const client = await cluster(url)
    testStore(name, { open: ({ namespace }) => new RedisStore({ client, prefix: namespace }) })
  }
})

describeService('redis-cluster', { own: true }, (server) => {
  const nodes = server.nodes.map(({ port }) =>
    ending(new Redis({ port, lazyConnect: true }), (client) => client.disconnect()),
  )

  test.each(drivers)('$name: a batch of new ids is spread over all nodes', async ({ cluster }) => {
    const prefix = newHex()
    const store = new RedisStore({ client: await cluster(server.url), prefix })
    await store.open()
    const claims = claimsOf(1024)
    expect((await store.claim(claims)).every(({ status }) => status === 'granted')).toBe(true)
    expect(await store.update(claims.map(completionOf))).toEqual(claims.map(() => 'ok'))
    const counts = await Promise.all(nodes.map(async (node) => (await node.keys(`${prefix}:*`)).length))
    expect(counts.reduce((sum, count) => sum + count)).toBe(1024)
    // Sixteen tags on three nodes are 5, 5 and 6, give or take the ids' own chance.
    expect(Math.min(...counts)).toBeGreaterThan(1024 * (5 / 16) * 0.75)
    expect(Math.max(...counts)).toBeLessThan(1024 * (6 / 16) * 1.25)
  })

  test.each(drivers)('$name: scripts that a node does not know are sent to it', async ({ cluster }) => {
    const store = new RedisStore({ client: await cluster(server.url), prefix: newHex() })
    await store.open()
    await Promise.all(nodes.map((node) => node.script('FLUSH')))
    expect(await lifeOf(store)).toEqual(LIFE)
  })

  test.each(drivers)('$name: what is wrong with one node is found', async ({ cluster }) => {
    const findingsOf = async (): Promise<string[]> =>
      (await new RedisStore({ client: await cluster(server.url) }).open()).map(({ code }) => code)
    expect(await findingsOf()).toEqual(['redis-appendfsync'])
    await nodes[2]?.config('SET', 'maxmemory-policy', 'allkeys-lru')
    expect((await findingsOf()).toSorted()).toEqual(['redis-appendfsync', 'redis-eviction'])
    await nodes[2]?.config('SET', 'maxmemory-policy', 'noeviction')
  })

  test('records are durable when all nodes write to the disk first', async () => {
    const durable = async (): Promise<boolean> => {
      const store = new RedisStore({ client: await ioredis6.cluster(server.url) })
      await store.open()
      return store.guarantees.durable
    }
    await Promise.all(nodes.slice(1).map((node) => node.config('SET', 'appendfsync', 'always')))
    expect(await durable()).toBe(false)
    await nodes[0]?.config('SET', 'appendfsync', 'always')
    expect(await durable()).toBe(true)
    await Promise.all(nodes.map((node) => node.config('SET', 'appendfsync', 'everysec')))
  })

  test('a client for one server is refused with the remedy', async () => {
    const store = new RedisStore({ url: server.url })
    const dedup = createDeduplicator({ store, consumerGroup: 'billing' })
    await expect(dedup.open()).rejects.toMatchObject({
      code: 'ONCEMQ_STORE_UNSAFE',
      message: expect.stringMatching(/Cluster of ioredis, or createCluster of redis/) as string,
    })
    await dedup.close()
    await store.open()
    await expect(store.claim(claimsOf(64))).rejects.toMatchObject({
      code: 'ONCEMQ_STORE_REFUSED',
      message: expect.stringMatching(/node of a cluster|part of a cluster/) as string,
    })
    await store.close()
  })

  describe.each([ioredis6, redis6])('$name: a node that is killed', ({ cluster }) => {
    test('stops the consumer, which goes on by itself when the node is back', async () => {
      const client = await cluster(server.url)
      const store = new RedisStore({ client, prefix: newHex(), callTimeoutMs: 500 })
      const dedup = createDeduplicator({ store, consumerGroup: 'billing' })
      await dedup.open()
      const runs = new Map<string, number>()
      const handle = (key: string) => dedup.run(key, async () => void runs.set(key, (runs.get(key) ?? 0) + 1))
      const keys = (name: string) => Array.from({ length: 50 }, (_, number) => `${name}-${number}`)
      await Promise.all(keys('before').map(handle))
      const isDown = new Promise<void>((resolve) => void dedup.on('outage', () => resolve()))
      const isUp = new Promise<void>((resolve) => void dedup.on('recovered', () => resolve()))
      await server.kill9('node-2')
      const during = Promise.allSettled(keys('during').map(handle))
      await isDown
      await server.start('node-2')
      await isUp
      await during
      await Promise.all([...keys('before'), ...keys('during'), ...keys('after')].map(handle))
      expect(runs.size).toBe(150)
      expect(keys('before').every((key) => runs.get(key) === 1)).toBe(true)
      await dedup.close()
    })
  })
})
