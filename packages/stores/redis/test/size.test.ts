import { RedisStore } from '@oncemq/redis'
import { describeService } from '@oncemq/test-services/vitest'
import { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { ending } from './drivers.ts'
import { claimsOf, completionOf } from '@oncemq/test-stores'

// The table of keys has 2^n places: so many keys fill it as far as a growing one is on average.
const KEYS = 49_152
const BATCH = 512

// The README's figures.
describeService('redis-8', { own: true }, ({ url }) => {
  test.each([
    ['without a label', {}, 215, 245],
    ['with a label of 24 characters', { label: 'billing payment-00000001' }, 245, 275],
  ])('a key that is done takes the bytes that are documented, %s', async (_what, given, min, max) => {
    const admin = ending(new Redis(url), (client) => client.disconnect())
    const used = async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await admin.info())?.[1])
    await admin.flushall()
    const store = new RedisStore({ url })
    await store.open()
    const before = await used()
    for (let keys = 0; keys < KEYS; keys += BATCH) {
      const claims = claimsOf(BATCH, given)
      await store.claim(claims)
      await store.update(claims.map(completionOf))
    }
    await store.close()
    const bytes = ((await used()) - before) / KEYS
    expect(bytes).toBeGreaterThan(min)
    expect(bytes).toBeLessThan(max)
  })

  test('what has expired goes away by itself', async () => {
    const admin = ending(new Redis(url), (client) => client.disconnect())
    await admin.flushall()
    const store = new RedisStore({ url })
    await store.open()
    const claims = claimsOf(200, { leaseMs: 1, retentionMs: 1 })
    await store.claim(claims)
    await store.update(
      claims
        .slice(0, 100)
        .map(completionOf)
        .map((update) => ({ ...update, retentionMs: 1 })),
    )
    await expect.poll(() => admin.dbsize(), { timeout: 20_000, interval: 20 }).toBe(0)
    await store.close()
  })
})
