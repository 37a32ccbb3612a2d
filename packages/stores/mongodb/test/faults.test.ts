import { MongoStore } from '@oncemq/mongodb'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import { MongoClient } from 'mongodb'
import { afterEach, expect, test } from 'vitest'
import { claimOf, claimsOf } from '@oncemq/test-stores'
import { createSchema, testFaults, testFullDisk } from '@oncemq/test-stores/faults'
import { BOUND } from '@oncemq/test-stores/load'

/** One that the driver does not exchange for the members' own addresses. */
function urlOf({ port }: FaultProxy): string {
  return `mongodb://127.0.0.1:${port}/?directConnection=true`
}

describeService('mongodb-6', { own: true }, (server) => {
  const ends: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end()
  })

  testFaults(server, (url, collection) => new MongoStore({ url, collection, timeoutMs: 500 }), urlOf)

  test('a call that gets no answer ends in time and leaves no connection behind', async () => {
    const proxy = await FaultProxy.open(server.url)
    ends.push(() => proxy.close())
    const client = new MongoClient(urlOf(proxy))
    ends.push(() => client.close())
    const collection = client.db().collection('swallowed')
    await createSchema(new MongoStore({ collection }))
    const store = new MongoStore({ collection, timeoutMs: 200 })
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
    const collection = database.collection('exhausted')
    await createSchema(new MongoStore({ collection }))
    const store = new MongoStore({ collection, timeoutMs: 100 })
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

testFullDisk(
  'mongodb-6',
  { diskMb: 300 },
  (url, collection) => new MongoStore({ url, collection, timeoutMs: 500 }),
)
