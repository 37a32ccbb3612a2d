import { inspect } from 'node:util'
import { createDeduplicator } from '@oncemq/core'
import { RedisStore } from '@oncemq/redis'
import { describeService } from '@oncemq/test-services/vitest'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { drivers, ending } from './drivers.ts'
import { claimOf, claimsOf, completionOf, newHex } from '@oncemq/test-stores'
import { LIFE, lifeOf } from './life.ts'

const LABEL = 'billing secret-label'

describeService('redis-8', { own: true }, ({ url }) => {
  const admin = ending(new Redis(url), (client) => client.disconnect())
  let prefix: string

  beforeEach(() => {
    prefix = newHex()
  })

  afterEach(async () => {
    await admin.config('SET', 'maxmemory', '0')
    await admin.config('SET', 'min-replicas-to-write', '0')
    await admin.call('REPLICAOF', 'NO', 'ONE')
  })

  afterAll(() => admin.quit())

  describe.each(drivers)('$name', ({ single }) => {
    async function opened(): Promise<RedisStore> {
      const store = new RedisStore({ client: await single(url), prefix })
      await store.open()
      return store
    }

    async function failureOf(call: Promise<unknown>): Promise<unknown> {
      const failure: unknown = await call.catch((error: unknown) => error)
      // Neither the message nor what a logger makes of the whole error tells a key or a label.
      for (const told of [LABEL, prefix]) expect(inspect(failure, { depth: 9 })).not.toContain(told)
      return failure
    }

    test('a full memory is told, and works on when there is room', async () => {
      const store = await opened()
      const claim = claimOf({ label: LABEL })
      await admin.config('SET', 'maxmemory', '1')
      expect(await failureOf(store.claim([claim]))).toMatchObject({
        code: 'ONCEMQ_STORE_FULL',
        retryable: true,
      })
      await admin.config('SET', 'maxmemory', '0')
      expect(await lifeOf(store, claim)).toEqual(LIFE)
    })

    test('a replica that cannot write is told, and works on when it is the master', async () => {
      const store = await opened()
      const claim = claimOf({ label: LABEL })
      await store.claim([claim])
      await admin.call('REPLICAOF', '127.0.0.1', '1')
      const unavailable = { code: 'ONCEMQ_STORE_UNAVAILABLE', retryable: true }
      expect(await failureOf(store.claim([claimOf({ label: LABEL })]))).toMatchObject(unavailable)
      expect(await failureOf(store.update([completionOf(claim)]))).toMatchObject(unavailable)
      await admin.call('REPLICAOF', 'NO', 'ONE')
      expect(await store.update([completionOf(claim)])).toEqual(['ok'])
    })

    test('too few replicas to write', async () => {
      const store = await opened()
      await admin.config('SET', 'min-replicas-to-write', '1')
      expect(await failureOf(store.claim([claimOf({ label: LABEL })]))).toMatchObject({
        code: 'ONCEMQ_STORE_UNAVAILABLE',
        message: expect.stringContaining('replicas') as string,
      })
    })

    test('a script that the server has forgotten is sent again, also amid other calls', async () => {
      const store = await opened()
      const claims = claimsOf(64)
      const all = Promise.all(claims.map((claim) => lifeOf(store, claim)))
      await admin.script('FLUSH')
      expect(await all).toEqual(claims.map(() => LIFE))
      await admin.script('FLUSH')
      expect(await lifeOf(store)).toEqual(LIFE)
    })

    test("somebody else's value under a record's key is told, and stays", async () => {
      const store = await opened()
      const [text, list] = [claimOf({ label: LABEL }), claimOf({ label: LABEL })]
      await store.claim([text, list])
      const keys = await admin.keys(`${prefix}:*`)
      const keyOf = (id: string) => keys.find((key) => key.endsWith(id)) as string
      await admin.set(keyOf(text.id), 'hello')
      await admin.del(keyOf(list.id))
      await admin.rpush(keyOf(list.id), 'hello')
      const refused = { code: 'ONCEMQ_STORE_REFUSED', retryable: false }
      for (const { id } of [text, list]) {
        expect(await failureOf(store.claim([claimOf({ id, label: LABEL })]))).toMatchObject(refused)
        expect(await failureOf(store.inspect([id]))).toMatchObject(refused)
      }
      expect(await store.update([completionOf(text), completionOf(list)])).toEqual(['lost', 'lost'])
      expect(await admin.get(keyOf(text.id))).toBe('hello')
    })
  })

  test("somebody else's value is the fault of its own message alone", async () => {
    const store = new RedisStore({ url, prefix })
    const another = createDeduplicator({ store, consumerGroup: 'billing' })
    await another.run('foreign', async () => undefined)
    const [key] = await admin.keys(`${prefix}:*`)
    await admin.del(key as string)
    await admin.rpush(key as string, 'hello')
    const dedup = createDeduplicator({ store, consumerGroup: 'billing' })
    const keys = Array.from({ length: 20 }, (_, at) => (at === 7 ? 'foreign' : `key ${at}`))
    const runs = await Promise.allSettled(keys.map((each) => dedup.run(each, async () => undefined)))
    expect(runs.map(({ status }, at) => [at, status])).toEqual(
      keys.map((each, at) => [at, each === 'foreign' ? 'rejected' : 'fulfilled']),
    )
    expect(runs[7]).toMatchObject({ reason: { code: 'ONCEMQ_STORE_REFUSED' } })
    await Promise.all([another.close(), dedup.close()])
  })

  test.each(['redis://:wrong@', 'redis://nobody:wrong@'])('a wrong password in %s', async (login) => {
    const store = new RedisStore({ url: url.replace('redis://', login), callTimeoutMs: 1000 })
    await admin.config('SET', 'requirepass', 'right')
    const failure: unknown = await store.open().catch((error: unknown) => error)
    await admin.config('SET', 'requirepass', '')
    expect(failure).toMatchObject({ code: 'ONCEMQ_STORE_REFUSED', retryable: false })
    expect(String(failure)).not.toContain('wrong')
  })

  test('a client that nobody has connected', async () => {
    const store = new RedisStore({ client: createClient({ url }), prefix })
    await expect(store.open()).rejects.toMatchObject({ code: 'ONCEMQ_STORE_UNAVAILABLE' })
  })
})
