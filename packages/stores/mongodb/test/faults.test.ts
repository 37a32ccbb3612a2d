import { MongoStore } from '@oncemq/mongodb'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import { MongoClient } from 'mongodb'
import { afterEach, expect, test } from 'vitest'
import { BOUND, Load, expectNothingLost, progress } from './load.ts'
import { claimOf, claimsOf } from '@oncemq/test-stores'

describeService('mongodb-6', { own: true }, (server) => {
  const ends: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end()
  })

  /** A proxy, and a URL that the driver does not exchange for the members' own addresses. */
  async function proxied(): Promise<{ proxy: FaultProxy; url: string }> {
    const proxy = await FaultProxy.open(server.url)
    ends.push(() => proxy.close())
    return { proxy, url: `mongodb://127.0.0.1:${proxy.port}/?directConnection=true` }
  }

  test('kill -9 of the server under load: all waits, nothing is lost, all goes on by itself', async () => {
    const load = await Load.start(server.url, 'killed')
    for (let kill = 0; kill < 2; kill += 1) {
      await progress(load)
      await server.kill9()
      await expect.poll(() => load.dedup.outage?.retryable, BOUND).toBe(true)
      await server.start()
    }
    await progress(load)
    await expectNothingLost(load, server.url, 'killed')
  })

  test('a server that is stopped with SIGSTOP: calls end in time, and all goes on when it does', async () => {
    const load = await Load.start(server.url, 'paused')
    await progress(load)
    await server.pause()
    await expect.poll(() => load.dedup.outage?.retryable, BOUND).toBe(true)
    await server.resume()
    await progress(load)
    await expectNothingLost(load, server.url, 'paused')
  })

  test('connections that are cut in the middle of replies lose nothing', async () => {
    const { proxy, url } = await proxied()
    const load = await Load.start(url, 'cut')
    for (const bytes of [1, 3, 7, 20, 60, 150, 400]) {
      await progress(load)
      proxy.cutReplyAfter(bytes)
    }
    await progress(load)
    await expectNothingLost(load, server.url, 'cut')
  })

  test('a call that gets no answer ends in time and leaves no connection behind', async () => {
    const { proxy, url } = await proxied()
    const client = new MongoClient(url)
    ends.push(() => client.close())
    const store = new MongoStore({ collection: client.db().collection('swallowed'), timeoutMs: 200 })
    await store.open()
    const connectionsMax = proxy.connections + 1
    proxy.swallowReplies()
    const batch = claimsOf(3)
    for (let call = 0; call < 10; call += 1) {
      await expect(store.claim(batch)).rejects.toMatchObject({
        code: 'ONCEMQ_STORE_TIMEOUT',
        retryable: true,
      })
      expect(proxy.connections).toBeLessThanOrEqual(connectionsMax)
    }
    proxy.resume()
    const granted = batch.map(() => ({ status: 'granted', epoch: 1, attempt: 1 }))
    await expect.poll(() => store.claim(batch).catch(() => undefined), BOUND).toEqual(granted)
  })

  test('a pool whose connections are all taken is an error in time', async () => {
    const client = new MongoClient(server.url, { maxPoolSize: 1 })
    ends.push(() => client.close())
    const database = client.db('oncemq_test')
    const store = new MongoStore({ collection: database.collection('exhausted'), timeoutMs: 100 })
    await store.open()
    await database.collection('one').insertOne({})
    const taken = database.collection('one').findOne({ $where: 'sleep(700) || true' })
    const claim = claimOf()
    await expect(store.claim([claim])).rejects.toMatchObject({
      code: 'ONCEMQ_STORE_TIMEOUT',
      retryable: true,
    })
    await taken
    await expect
      .poll(() => store.claim([claim]).catch(() => undefined), BOUND)
      .toMatchObject([{ status: 'granted' }])
  })
})
