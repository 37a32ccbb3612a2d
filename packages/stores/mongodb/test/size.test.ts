import { MongoStore } from '@oncemq/mongodb'
import { describeService } from '@oncemq/test-services/vitest'
import { expect, test } from 'vitest'
import { databaseOn } from './database.ts'
import { claimsOf, completionOf, newHex } from '@oncemq/test-stores'

const KEYS = 10_000
const BATCH = 1000
const FREE = 'file bytes available for reuse'

interface StorageStats {
  readonly totalSize: number
  readonly freeStorageSize: number
  readonly indexDetails: Readonly<Record<string, { 'block-manager': Record<typeof FREE, number> }>>
}

describeService('mongodb-6', (server) => {
  const { client, collection } = databaseOn(server)

  /** Bytes on the disk per key, indexes included, once the server has written a checkpoint. */
  async function bytesPerKey(name: string): Promise<number> {
    await client.db('admin').command({ fsync: 1 })
    const [stats] = await collection(name)
      .aggregate<{ storageStats: StorageStats }>([{ $collStats: { storageStats: {} } }])
      .toArray()
    const { totalSize, freeStorageSize, indexDetails } = (stats as { storageStats: StorageStats })
      .storageStats
    // What an earlier checkpoint, which comes each minute, has left free is written to again.
    const freeInIndexes = Object.values(indexDetails).map((index) => index['block-manager'][FREE])
    return (totalSize - freeInIndexes.reduce((sum, free) => sum + free, freeStorageSize)) / KEYS
  }

  // The README's figures. The bounds leave room for the random ids, which fill their index by two thirds.
  test.each([
    ['without a label', {}, 120, 190],
    ['with a label of 24 characters', { label: 'billing payment-00000001' }, 130, 210],
  ])('a key that is done takes the bytes that are documented, %s', async (_what, given, min, max) => {
    const name = newHex()
    const store = new MongoStore({ collection: collection(name) })
    await store.open()
    for (let keys = 0; keys < KEYS; keys += BATCH) {
      const claims = claimsOf(BATCH, given)
      await store.claim(claims)
      await store.update(claims.map(completionOf))
    }
    const bytes = await bytesPerKey(name)
    expect(bytes).toBeGreaterThan(min)
    expect(bytes).toBeLessThan(max)
  })
})
