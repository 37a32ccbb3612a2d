import { MongoStore } from '@oncemq/mongodb'
import { describeService } from '@oncemq/test-services/vitest'
import type { Db, Document } from 'mongodb'
import { MongoClient } from 'mongodb'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { databaseOn } from './database.ts'
import { claimOf, completionOf, newHex } from '@oncemq/test-stores'

/** Runs the lines of `schema()` as mongosh would. */
async function runByHand(database: Db, script: string): Promise<void> {
  const lines = script.trim().split('\n')
  for (const line of lines) {
    const [, command = ''] = /^db\.runCommand\((.*)\)$/.exec(line) ?? []
    await database.command(JSON.parse(command) as Document)
  }
}

describeService('mongodb-6', (server) => {
  const { collection } = databaseOn(server)

  test('ten that open at once make one index and one note', async () => {
    const records = collection(`ten_${newHex()}`)
    const stores = Array.from({ length: 10 }, () => new MongoStore({ collection: records }))
    expect(await Promise.all(stores.map((store) => store.open()))).toEqual(stores.map(() => []))
    expect(await records.countDocuments()).toBe(1)
    expect((await records.indexes()).map(({ name }) => name)).toEqual(['_id_', 'oncemq_expires_at'])
  })

  test('without createSchema a missing collection is an error, and nothing is created', async () => {
    const records = collection(`missing_${newHex()}`)
    const failure = new MongoStore({ collection: records, createSchema: false }).open()
    await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_CORRUPT' })
    await expect(failure).rejects.toThrow(/received none; run what schema\(\) answers/)
    expect(await records.db.listCollections({ name: records.collectionName }).toArray()).toEqual([])
  })

  test('what schema() answers, run by hand, is all that it takes', async () => {
    const records = collection(`by-hand_${newHex()}`)
    const store = new MongoStore({ collection: records, createSchema: false })
    await runByHand(records.db, store.schema())
    expect(await store.open()).toEqual([])
    expect((await store.claim([claimOf()]))[0]?.status).toBe('granted')
  })

  test('a collection of a newer version is refused', async () => {
    const records = collection(`newer_${newHex()}`)
    const store = new MongoStore({ collection: records })
    await store.open()
    await store.close()
    await records.updateMany({}, { $set: { version: 2 } })
    await expect(store.open()).rejects.toMatchObject({ code: 'ONCEMQ_STORE_CORRUPT' })
    await expect(store.open()).rejects.toThrow(/expected schema version 1 .* received 2/)
  })

  test('another index on expiresAt is in the way, and is told', async () => {
    const records = collection(`indexed_${newHex()}`)
    await records.createIndex({ expiresAt: 1 }, { expireAfterSeconds: 3600 })
    const failure = new MongoStore({ collection: records }).open()
    await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_CORRUPT' })
    await expect(failure).rejects.toThrow(/another index on expiresAt/)
  })

  test('a view is refused', async () => {
    const view = collection(`view_${newHex()}`)
    await view.db.createCollection(view.collectionName, { viewOn: 'orders', pipeline: [] })
    const failure = new MongoStore({ collection: view }).open()
    await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED' })
    await expect(failure).rejects.toThrow(/view/)
  })

  test('expired records go away by themselves, and others stay', async () => {
    const records = collection(`expiring_${newHex()}`)
    const store = new MongoStore({ collection: records })
    await store.open()
    const [done, kept] = [claimOf({ retentionMs: 1 }), claimOf()]
    await store.claim([done, kept])
    await store.update([completionOf(done)])
    await expect.poll(() => store.inspect([done.id]), { timeout: 20_000 }).toEqual([undefined])
    expect((await store.inspect([kept.id]))[0]?.state).toBe('running')
    expect(await store.open()).toEqual([])
  })

  test('a URL with a database, or with both names given', async () => {
    const name = `named_${newHex()}`
    const withPath = new URL(server.url)
    withPath.pathname = '/oncemq_url'
    const stores = [
      new MongoStore({ url: withPath.href, collection: name }),
      new MongoStore({ url: server.url, database: 'oncemq_url', collection: name }),
    ]
    const claim = claimOf()
    const statuses: unknown[] = []
    for (const store of stores) {
      await store.open()
      statuses.push((await store.claim([claim]))[0])
      await store.close()
      await expect(store.claim([claim])).rejects.toMatchObject({ code: 'ONCEMQ_CLOSED' })
    }
    expect(statuses).toEqual(stores.map(() => ({ status: 'granted', epoch: 1, attempt: 1 })))
  })
})

// The README's grants, in its words.
const DAILY = ['find', 'insert', 'update', 'remove', 'listIndexes']
const FIRST_OPEN = [...DAILY, 'createIndex']

describeService('mongodb-standalone', { own: true, args: ['--auth'] }, (server) => {
  let admin: MongoClient

  beforeAll(async () => {
    // Until there is a user, the first may be made from this machine.
    const nobody = new MongoClient(server.url)
    await nobody.db('admin').command({ createUser: 'admin', pwd: 'admin', roles: ['root'] })
    await nobody.close()
    admin = new MongoClient(urlFor('admin'))
    await createUser('opener', FIRST_OPEN)
    await createUser('worker', DAILY)
    await createUser('reader', ['find', 'listIndexes'])
  })
  afterAll(() => admin.close())

  function urlFor(user: string): string {
    return server.url.replace('://', `://${user}:${user}@`).replace(/\/$/, '/shop?authSource=admin')
  }

  async function createUser(name: string, actions: readonly string[]): Promise<void> {
    const privileges = [{ resource: { db: 'shop', collection: 'oncemq' }, actions }]
    await admin.db('admin').command({ createRole: name, privileges, roles: [] })
    await admin.db('admin').command({ createUser: name, pwd: name, roles: [name] })
  }

  function storeOf(user: string, timeoutMs = 4000): MongoStore {
    return new MongoStore({ url: urlFor(user), timeoutMs })
  }

  test('a user with the documented grants opens first, and one with fewer does all the rest', async () => {
    const [opener, worker] = [storeOf('opener'), storeOf('worker')]
    await expect(worker.open()).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED' })
    await opener.open()
    await opener.close()
    expect((await worker.open()).map(({ code }) => code)).toEqual(['mongodb-standalone'])
    const claim = claimOf()
    expect((await worker.claim([claim]))[0]?.status).toBe('granted')
    expect((await worker.claim([claimOf({ id: claim.id })]))[0]?.status).toBe('busy')
    expect(await worker.update([completionOf(claim)])).toEqual(['ok'])
    await worker.forget([claim.id])
    expect(await worker.inspect([claim.id])).toEqual([undefined])
    await worker.close()
  })

  test('a user who may only read is told what to grant, and no key is repeated', async () => {
    const [opener, reader] = [storeOf('opener'), storeOf('reader')]
    await opener.open()
    await reader.open()
    const failure = reader.claim([claimOf({ label: 'private' })])
    await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED', retryable: false })
    await expect(failure).rejects.toThrow(/grant it find, insert, update and remove/)
    await expect(failure).rejects.not.toThrow(/private/)
    await Promise.all([opener.close(), reader.close()])
  })

  test('a wrong password is refused', async () => {
    const url = urlFor('worker').replace('worker:worker', 'worker:wrong')
    const failure = new MongoStore({ url }).open()
    await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED' })
    await expect(failure).rejects.toThrow(/credentials/)
  })
})
