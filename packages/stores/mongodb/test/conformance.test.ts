import { testStore } from '@oncemq/conformance'
import { MongoStore } from '@oncemq/mongodb'
import { describeService } from '@oncemq/test-services/vitest'
import { databaseOn } from './database.ts'

describeService('mongodb-6', (server) => {
  const { collection, effects } = databaseOn(server)
  testStore('mongodb', {
    open: ({ namespace }) => new MongoStore({ collection: collection(namespace) }),
    async spoil(namespace, id) {
      await collection(namespace).insertOne({ _id: Buffer.from(id, 'hex') as never, name: 'foreign' })
    },
    effects,
  })
})
