import { MongoStore } from '@oncemq/mongodb'
import { describeService } from '@oncemq/test-services/vitest'
import { claimOf, newHex } from '@oncemq/test-stores'
import { MongoClient } from 'mongodb'
import { expect, test } from 'vitest'

describeService('mongodb-6', (server) => {
  test('a claim that need not be durable waits for no majority, and one that has to be does', async () => {
    const client = new MongoClient(server.url, { monitorCommands: true })
    const concerns: unknown[] = []
    const store = new MongoStore({ collection: client.db('oncemq_test').collection(`d_${newHex()}`) })
    await store.open()
    client.on('commandStarted', ({ command }) => void concerns.push(command['writeConcern']))
    await store.claim([claimOf()], { isDurable: false })
    await store.claim([claimOf()], { isDurable: true })
    await store.claim([claimOf()])
    const majority = { w: 'majority', j: true }
    expect(concerns).toEqual([{ w: 1, j: false }, majority, majority])
    await store.close()
    await client.close()
  })
})
