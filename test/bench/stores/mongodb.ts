import { MongoStore } from '@oncemq/mongodb'
import { service } from '@oncemq/test-services'
import { MongoClient } from 'mongodb'
import { processesOf } from '../processor-time.ts'
import type { BenchStore } from './bench-store.ts'

// The tests' servers do with less memory and a shorter oplog, and look for expired records each second.
export const MONGODB = [
  ['--wiredTigerCacheSizeGB', '1'],
  ['--oplogSize', '990'],
  ['--setParameter', 'ttlMonitorSleepSecs=60'],
].flat()

/**
 * Both with the write concern that the store demands: an answer follows only what a majority has on its disk.
 */
export const mongodb: BenchStore = {
  name: 'mongodb',
  async open() {
    const server = await service('mongodb-6', { own: true, args: MONGODB })
    const client = await MongoClient.connect(server.url)
    const database = client.db('oncemq_bench', { writeConcern: { w: 'majority', journal: true } })
    const messages = database.collection<{ _id: string; done: boolean }>('messages')
    return {
      store: new MongoStore({ collection: database.collection('oncemq') }),
      naive: {
        async handle(key) {
          await messages.insertOne({ _id: key, done: false })
          await messages.updateOne({ _id: key }, { $set: { done: true } })
        },
      },
      processes: processesOf(server),
      async close() {
        await client.close()
        await server.close()
      },
    }
  },
}
