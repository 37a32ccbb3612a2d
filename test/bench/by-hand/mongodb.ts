import { MongoStore } from '@oncemq/mongodb'
import { service } from '@oncemq/test-services'
import type { ClientSession } from 'mongodb'
import { MongoClient } from 'mongodb'
import { processesOf } from '../processor-time.ts'
import { MONGODB } from '../stores/mongodb.ts'
import type { HandWritten } from './hand-written.ts'

const DURABLE = { writeConcern: { w: 'majority', journal: true } } as const

/** As people write it with `mongodb`: a session for each message, and answers that a majority has. */
export const mongodb: HandWritten = {
  name: 'mongodb',
  async open(throughNetwork) {
    const server = await service('mongodb-6', { own: true, args: MONGODB })
    const url = new URL(await throughNetwork(server.url))
    // Else it would go to the address that the server itself knows.
    url.searchParams.delete('replicaSet')
    url.searchParams.set('directConnection', 'true')
    const [client, storeClient] = [await MongoClient.connect(url.href), await MongoClient.connect(url.href)]
    const database = client.db('by_hand', DURABLE)
    const messages = database.collection<{ _id: string }>('messages')
    const charges = database.collection<{ key: string; cents: number }>('charges')
    const theirs = storeClient.db('by_hand', DURABLE).collection('charges')
    // A transaction that creates a collection is slower.
    await charges.insertOne({ key: '', cents: 0 })
    await messages.insertOne({ _id: '' })
    return {
      url: url.href,
      store: new MongoStore({ collection: storeClient.db('by_hand', DURABLE).collection('oncemq') }),
      async lease(key) {
        const found = await messages.findOne({ _id: key })
        if (found === null) await messages.insertOne({ _id: key })
      },
      transactional: {
        async byHand(key) {
          const session = client.startSession()
          try {
            session.startTransaction(DURABLE)
            await messages.insertOne({ _id: key }, { session })
            await charges.insertOne({ key, cents: 1999 }, { session })
            await session.commitTransaction()
          } finally {
            await session.endSession()
          }
        },
        effect: (session: ClientSession, key) => theirs.insertOne({ key, cents: 1999 }, { session }),
      },
      processes: processesOf(server),
      async close() {
        await Promise.all([client.close(), storeClient.close()])
        await server.close()
      },
    }
  },
}
