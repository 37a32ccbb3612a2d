import { createDeduplicator } from '@oncemq/core'
import { MongoStore } from '@oncemq/mongodb'
import { describeService } from '@oncemq/test-services/vitest'
import type { Collection, WriteConcernSettings } from 'mongodb'
import { describe, expect, test } from 'vitest'
import { databaseOn } from './database.ts'
import { claimOf, completionOf, newHex } from '@oncemq/test-stores'

async function findingsOf(collection: Collection): Promise<string[]> {
  const findings = await new MongoStore({ collection }).open()
  return findings.map(({ severity, code }) => `${severity} ${code}`)
}

describeService('mongodb-6', (server) => {
  const { client, collection } = databaseOn(server)
  const fresh = (options = {}) => client.db('oncemq_test').collection(newHex(), options)

  describe('write concern', () => {
    const safe: WriteConcernSettings[] = [{ w: 'majority' }, { w: 'majority', journal: true }, { j: true }]
    test.each(safe)('%o leaves nothing to say', async (writeConcern) => {
      expect(await findingsOf(fresh({ writeConcern }))).toEqual([])
    })

    const unsafe: WriteConcernSettings[] = [
      { w: 1 },
      { w: 0 },
      { w: 1, journal: true },
      { w: 'majority', journal: false },
    ]
    test.each(unsafe)('%o is refused unless it is accepted', async (writeConcern) => {
      const records = fresh({ writeConcern })
      expect(await findingsOf(records)).toEqual(['error mongodb-write-concern'])
      const store = new MongoStore({ collection: records })
      const refused = createDeduplicator({ store, consumerGroup: 'billing' })
      await expect(refused.open()).rejects.toMatchObject({ code: 'ONCEMQ_STORE_UNSAFE' })
      await expect(refused.open()).rejects.toThrow(/writeConcern: \{ w: 'majority', journal: true \}/)
      await refused.close()
    })

    test('what is accepted is used', async () => {
      const store = new MongoStore({ collection: fresh({ writeConcern: { w: 1 } }) })
      const acceptFindings = ['mongodb-write-concern']
      const dedup = createDeduplicator({ store, consumerGroup: 'billing', acceptFindings })
      expect((await dedup.run('key', () => Promise.resolve())).status).toBe('completed')
      await dedup.close()
    })
  })

  test('a missing TTL index is reported, since the collection then grows', async () => {
    const records = fresh()
    await findingsOf(records)
    await records.dropIndex('oncemq_expires_at')
    expect(await findingsOf(records)).toEqual(['warning mongodb-ttl-index'])
  })

  test('a TTL index on another field is refused, since it removes what counts', async () => {
    const records = fresh()
    await records.createIndex({ leaseUntil: 1 }, { expireAfterSeconds: 0 })
    expect(await findingsOf(records)).toEqual(['error mongodb-foreign-ttl-index'])
  })

  test('a capped collection is refused, since the server removes its oldest records', async () => {
    const records = collection(newHex())
    await records.db.createCollection(records.collectionName, { capped: true, size: 4096 })
    // The server allows no TTL index there.
    const failure = findingsOf(records)
    await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED' })
    await expect(failure).rejects.toThrow(/ordinary collection/)
    await records.insertOne({ _id: 'oncemq_schema' as never, version: 1 })
    expect(await findingsOf(records)).toEqual(['error mongodb-capped', 'warning mongodb-ttl-index'])
  })
})

describeService('mongodb-standalone', (server) => {
  const { collection } = databaseOn(server)

  test('a standalone server keeps records, and refuses transactions with the remedy', async () => {
    const store = new MongoStore({ collection: collection(newHex()) })
    expect((await store.open()).map(({ code }) => code)).toEqual(['mongodb-standalone'])
    const claim = claimOf()
    expect((await store.claim([claim, claimOf()])).map(({ status }) => status)).toEqual([
      'granted',
      'granted',
    ])
    let ran = false
    const failure = store.transaction(async () => {
      ran = true
      return completionOf(claim)
    })
    await expect(failure).rejects.toMatchObject({ code: 'ONCEMQ_STORE_REFUSED' })
    await expect(failure).rejects.toThrow(/--replSet/)
    expect(ran).toBe(false)
    expect(await store.update([completionOf(claim)])).toEqual(['ok'])
  })
})
