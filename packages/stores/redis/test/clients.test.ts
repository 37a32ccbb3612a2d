import type { RedisClient } from '@oncemq/redis'
import { RedisStore } from '@oncemq/redis'
import { describeService } from '@oncemq/test-services/vitest'
import { Redis } from 'ioredis'
import { createClient, createClientPool, RESP_TYPES } from 'redis'
import { expect, test } from 'vitest'
import { drivers, ending, oldest } from './drivers.ts'
import { claimOf, claimsOf, completionOf, newHex } from '@oncemq/test-stores'
import { LIFE, lifeOf } from './life.ts'

const RESULT = Uint8Array.from({ length: 256 }, (_, byte) => byte)

describeService('redis-8', ({ url }) => {
  const admin = ending(new Redis(url), (client) => client.disconnect())
  const ioredis = (options: object) => async (): Promise<RedisClient> =>
    ending(new Redis(url, options), (client) => client.disconnect())
  const nodeRedis = (options: object) => async (): Promise<RedisClient> =>
    ending(await createClient({ url, ...options }).connect(), (client) => client.destroy())

  const clients: readonly (readonly [name: string, connect: () => Promise<RedisClient>])[] = [
    ...[...drivers, ...oldest].map(({ name, single }) => [name, () => single(url)] as const),
    ['ioredis that gives strings for numbers', ioredis({ stringNumbers: true })],
    ['ioredis that pipelines by itself', ioredis({ enableAutoPipelining: true })],
    ['ioredis with the old protocol', ioredis({ protocol: 2 })],
    ['ioredis with the new shapes', ioredis({ protocol: 3, replyMapping: 'resp3' })],
    ['ioredis that connects late', ioredis({ lazyConnect: true })],
    ['redis with the old protocol', nodeRedis({ RESP: 2 })],
    [
      'redis that gives bytes for strings',
      async () => {
        const client = await createClient({ url }).connect()
        const bytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
        return ending(bytes, () => client.destroy())
      },
    ],
    [
      'a pool of redis',
      async () => {
        const pool = createClientPool({ url })
        await pool.connect()
        return ending(pool, () => pool.destroy())
      },
    ],
  ]

  test.each(clients)('%s', async (_name, connect) => {
    const store = new RedisStore({ client: await connect(), prefix: newHex() })
    expect((await store.open()).map(({ code }) => code)).toEqual(['redis-appendfsync'])
    expect(await lifeOf(store)).toEqual(LIFE)
    const claim = claimOf({ label: 'Straße \u{1F600}\ufeff', fingerprint: newHex() })
    await store.claim([claim])
    await store.update([{ ...completionOf(claim), result: RESULT }])
    const [record] = await store.inspect([claim.id])
    expect(record).toMatchObject({ state: 'done', epoch: 1, attempts: 1, label: claim.label })
    expect(Buffer.compare(record?.result ?? new Uint8Array(), RESULT)).toBe(0)
    expect(await store.inspect([newHex()])).toEqual([undefined])
    const [again] = await store.claim([claimOf({ id: claim.id })])
    expect(again).toMatchObject({ status: 'done', fingerprint: claim.fingerprint })
    await store.close()
    // An injected client stays open.
    await store.open()
    await store.forget([claim.id])
    expect(await store.inspect([claim.id])).toEqual([undefined])
  })

  test.each([
    ['ioredis', ioredis],
    ['redis', nodeRedis],
  ])("%s: the client's own key prefix is before the store's", async (_name, connect) => {
    const [keyPrefix, prefix] = [`{${newHex()}:`, newHex()]
    const store = new RedisStore({ client: await connect({ keyPrefix })(), prefix })
    await store.open()
    const claim = claimOf()
    expect(await lifeOf(store, claim)).toEqual(LIFE)
    const keys = await admin.keys(`*${claim.id}`)
    expect(keys).toEqual([expect.stringContaining(`${keyPrefix}${prefix}:`)])
    await store.forget([claim.id])
    expect(await admin.keys(`*${claim.id}`)).toEqual([])
  })

  test('a client or proxy that answers by itself grants nothing', async () => {
    const answers: unknown[] = [[], [0], ['OK'], null, 1, [3]]
    for (const answer of answers) {
      const reply = () => Promise.resolve(answer)
      const info = () => Promise.resolve('')
      const client = { evalsha: reply, eval: reply, info, config: () => Promise.resolve([]) }
      const store = new RedisStore({ client })
      await store.open()
      const batch = claimsOf(2)
      await expect(store.claim(batch)).rejects.toMatchObject({ code: 'ONCEMQ_STORE_BROKEN' })
      await expect(store.update(batch.map(completionOf))).rejects.toMatchObject({
        code: 'ONCEMQ_STORE_BROKEN',
      })
    }
  })
})
