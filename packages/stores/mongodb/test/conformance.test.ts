import { testStore } from '@oncemq/conformance'
import { MongoStore } from '@oncemq/mongodb'
import { describeService } from '@oncemq/test-services/vitest'
import { databaseOn } from './database.ts'

describeService('mongodb-6', (server) => {
  const { client, collection, effects } = databaseOn(server)
  testStore('mongodb', {
    open: ({ namespace }) => new MongoStore({ collection: collection(namespace) }),
    async spoil(namespace, id) {
      await collection(namespace).insertOne({ _id: Buffer.from(id, 'hex') as never, name: 'foreign' })
    },
    // Nobody inserts records in a transaction: those of the store are created outside of any.
    async lock(namespace, ids, kind) {
      if (kind === 'insert') return undefined
      const session = client.startSession()
      session.startTransaction()
      const filter = { _id: { $in: ids.map((id) => Buffer.from(id, 'hex') as never) } }
      const records = collection(namespace)
      if (kind === 'change') await records.updateMany(filter, { $set: { locked: true } }, { session })
      else await records.deleteMany(filter, { session })
      return () => session.endSession()
    },
    effects,
  })
})
