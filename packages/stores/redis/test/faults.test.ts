import type { RedisStoreOptions } from '@oncemq/redis'
import { RedisStore } from '@oncemq/redis'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import { describe, expect, onTestFinished, test } from 'vitest'
import { drivers, ioredis6 } from './drivers.ts'
import { claimOf, claimsOf, newHex } from '@oncemq/test-stores'
import { testCuts, testKill, testLostAnswers, testPause, testFullDisk } from '@oncemq/test-stores/faults'
import { BOUND } from '@oncemq/test-stores/load'
import { LIFE, lifeOf, statusesOf } from './life.ts'

type Source = (url: string) => Promise<RedisStoreOptions>

const sources: readonly (readonly [name: string, source: Source])[] = [
  ['a url', async (url) => ({ url })],
  ...drivers.map(
    ({ name, single }) => [name, async (url: string) => ({ client: await single(url) })] as const,
  ),
]

async function proxyOf(url: string): Promise<FaultProxy> {
  const proxy = await FaultProxy.open(url)
  onTestFinished(() => proxy.close())
  return proxy
}

// With less, Redis may forget at a kill what it has answered.
describeService('redis-8', { own: true, args: ['--appendfsync', 'always'] }, (server) => {
  describe.each(sources)('%s', (name, source) => {
    const open = async (url: string, namespace: string): Promise<RedisStore> =>
      new RedisStore({
        ...(await source(url)),
        prefix: `${namespace}-${name.replaceAll(' ', '-')}`,
        callTimeoutMs: 500,
      })
    testKill(server, open)
    testCuts(server, open)
    testLostAnswers(server, open)
  })

  testPause(server, (url, prefix) => new RedisStore({ url, prefix, callTimeoutMs: 500 }))

  test.each(drivers)('$name: a call to a stopped server ends in time', async ({ single }) => {
    const store = new RedisStore({ client: await single(server.url), prefix: newHex(), callTimeoutMs: 300 })
    await store.open()
    await server.pause()
    const claim = claimOf()
    const timeout = { code: 'ONCEMQ_STORE_TIMEOUT', retryable: true }
    await expect(store.claim([claim])).rejects.toMatchObject(timeout)
    await expect(store.inspect([claim.id])).rejects.toMatchObject(timeout)
    await expect(store.forget([newHex()])).rejects.toMatchObject(timeout)
    await server.resume()
    await expect.poll(() => lifeOf(store).catch(() => undefined), BOUND).toEqual(LIFE)
  })

  test('a connection on which nothing comes back is given up for a new one', async () => {
    const proxy = await proxyOf(server.url)
    const store = new RedisStore({ url: proxy.url, prefix: newHex(), callTimeoutMs: 300 })
    await store.open()
    proxy.swallowReplies()
    const batch = claimsOf(3)
    await expect(store.claim(batch)).rejects.toMatchObject({ retryable: true })
    await expect.poll(() => proxy.connections, BOUND).toBe(0)
    proxy.resume()
    const claimed = async () => statusesOf(await store.claim(batch).catch(() => []))
    await expect.poll(claimed, BOUND).toEqual(['granted', 'granted', 'granted'])
    await store.close()
  })

  test('no server at all', async () => {
    const proxy = await FaultProxy.open(server.url)
    const { url } = proxy
    await proxy.close()
    const store = new RedisStore({ url })
    const failure = store.open()
    await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_UNAVAILABLE', retryable: true })
    await expect(failure).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } })
    await store.close()
  })

  test('a client that its owner has closed, and one that was never connected', async () => {
    const client = await ioredis6.single(server.url)
    const store = new RedisStore({ client, prefix: newHex() })
    await store.open()
    ;(client as unknown as { disconnect(): void }).disconnect()
    await expect(store.claim([claimOf()])).rejects.toMatchObject({ code: 'ONCEMQ_STORE_UNAVAILABLE' })
    await store.close()
  })
})

testFullDisk('redis-8', { diskMb: 64 }, (url, prefix) => new RedisStore({ url, prefix, callTimeoutMs: 500 }))
