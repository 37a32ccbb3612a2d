import { MongoStore } from '@oncemq/mongodb'
import { FaultProxy } from '@oncemq/test-services/proxy'
import { describeService } from '@oncemq/test-services/vitest'
import { newHex } from '@oncemq/test-stores'
import { testBatches } from '@oncemq/test-stores/batches'
import type { BatchScene } from '@oncemq/test-stores/batches'
import type { ClientSession } from 'mongodb'
import { MongoClient } from 'mongodb'
import { afterAll } from 'vitest'

describeService('mongodb-6', (server) => {
  const admin = new MongoClient(server.url)
  afterAll(() => admin.close())

  async function open(): Promise<BatchScene<ClientSession>> {
    const name = `batch_${newHex()}`
    const rows = admin.db('oncemq_test').collection<{ _id: string }>(`${name}_effects`)
    await admin.db('oncemq_test').createCollection(rows.collectionName)
    const proxy = await FaultProxy.open(server.url)
    // One connection, and no heart beside it: the reply that cuts is that of what was asked. A commit that
    // the server has not done when its connection ends may be aborted, and its handlers run again.
    const quiet = 'maxPoolSize=1&serverMonitoringMode=poll&heartbeatFrequencyMS=60000'
    const url = `mongodb://127.0.0.1:${proxy.port}/?directConnection=true&${quiet}`
    const client = new MongoClient(url, { monitorCommands: true })
    let cutsAtCommit = false
    client.on('commandStarted', ({ commandName }) => {
      if (!cutsAtCommit || commandName !== 'commitTransaction') return
      cutsAtCommit = false
      proxy.cutReplyAfter(1)
    })
    const database = client.db('oncemq_test')
    const store = new MongoStore({ collection: database.collection(name), timeoutMs: 5000 })
    await store.open()
    const effects = database.collection<{ _id: string }>(rows.collectionName)
    return {
      store,
      write: (session, _id) => effects.insertOne({ _id }, { session }),
      commit: (session) => session.commitTransaction(),
      cut: () => proxy.cutReplyAfter(1),
      cutAtCommit: () => void (cutsAtCommit = true),
      async effects() {
        const found = await rows.find().sort({ _id: 1 }).toArray()
        return found.map(({ _id }) => _id)
      },
      async close() {
        await store.close()
        await client.close()
        await proxy.close()
      },
    }
  }

  testBatches(open)
})
