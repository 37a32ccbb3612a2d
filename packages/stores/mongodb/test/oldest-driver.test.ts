import { MongoStore } from '@oncemq/mongodb'
import { describeService } from '@oncemq/test-services/vitest'
import { newHex } from '@oncemq/test-stores'
import { ONCE, onceWith } from '@oncemq/test-stores/once'
import { MongoClient } from 'mongodb-6'
import { afterAll, expect, test } from 'vitest'

describeService('mongodb-6', ({ url }) => {
  const client = new MongoClient(url)
  afterAll(() => client.close())

  test('the oldest driver of its range, which Mongoose 8 has, does what the newest does', async () => {
    const database = client.db('oncemq_test')
    const rows = await database.createCollection<{ name: string }>(newHex())
    const seen = await onceWith(
      new MongoStore({ collection: database.collection(newHex()) }),
      // Not awaited: what is under way is seen by what this driver reads of a session.
      async (session) => void rows.insertOne({ name: 'a' }, { session }).catch(() => undefined),
      () => rows.countDocuments(),
    )
    expect(seen).toEqual(ONCE)
  })
})
