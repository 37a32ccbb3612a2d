// The README shows parts of this file.
// #region imports
import { createDeduplicator } from '@oncemq/core'
import { MongoStore } from '@oncemq/mongodb'
import { MongoClient } from 'mongodb'
// #endregion
import { describeService } from '@oncemq/test-services/vitest'
import { expect, test } from 'vitest'
import { newHex } from '@oncemq/test-stores'

describeService('mongodb-6', (server) => {
  const url = new URL(server.url)
  url.pathname = `/shop_${newHex()}`
  process.env['MONGODB_URL'] = url.href

  test('the key runs once', async () => {
    const charged: string[] = []
    const charge = async (event: string) => void charged.push(event)
    // #region lease
    const client = new MongoClient(process.env['MONGODB_URL'] ?? '')
    const store = new MongoStore({ collection: client.db().collection('oncemq') })
    const dedup = createDeduplicator({ store, consumerGroup: 'billing' })

    // However often it is called, and wherever: charges once.
    await dedup.run('stripe:evt_1', () => charge('evt_1'))
    await dedup.close()
    await client.close()
    // #endregion
    expect(charged).toEqual(['evt_1'])
  })

  test('money moves once', async () => {
    const client = new MongoClient(process.env['MONGODB_URL'] ?? '')
    const accounts = client.db().collection<{ _id: string; cents: number }>('accounts')
    await accounts.insertMany([
      { _id: 'alice', cents: 1000 },
      { _id: 'bob', cents: 0 },
    ])
    // #region transactional
    const store = new MongoStore({ collection: client.db().collection('oncemq') })
    const ledger = createDeduplicator({ store, consumerGroup: 'ledger', strategy: 'transactional' })

    await ledger.run('transfer-1', async ({ tx: session }) => {
      await accounts.updateOne({ _id: 'alice' }, { $inc: { cents: -500 } }, { session })
      await accounts.updateOne({ _id: 'bob' }, { $inc: { cents: 500 } }, { session })
    })
    // #endregion
    await ledger.run('transfer-1', async ({ tx: session }) => {
      await accounts.updateMany({}, { $set: { cents: 0 } }, { session })
    })
    expect(await accounts.find().sort({ _id: 1 }).toArray()).toMatchObject([{ cents: 500 }, { cents: 500 }])
    await ledger.close()
    await client.close()
  })
})
