import { createDeduplicator } from '@oncemq/core'
import { MongoStore } from '@oncemq/mongodb'
import { describeService } from '@oncemq/test-services/vitest'
import { claimOf, completionOf, newHex } from '@oncemq/test-stores'
import type { ClientSession } from 'mongodb'
import { MongoClient } from 'mongodb'
import { expect, test } from 'vitest'

const MESSAGES = 600

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

  test('a transaction reads the claims before it, also those that no majority had yet', async () => {
    const client = new MongoClient(server.url, { monitorCommands: true })
    const collection = client.db('oncemq_test').collection(`d_${newHex()}`)
    const store = new MongoStore<ClientSession>({ collection })
    await store.open()
    const claim = claimOf()
    const moments: unknown[] = []
    client.on('commandSucceeded', ({ reply, commandName }) => {
      if (commandName === 'aggregate') moments.push((reply as { operationTime: unknown }).operationTime)
    })
    client.on('commandStarted', ({ command }) => {
      const { startTransaction, readConcern } = command as { startTransaction?: true; readConcern?: object }
      if (startTransaction) moments.push((readConcern as { afterClusterTime?: unknown }).afterClusterTime)
    })
    await store.claim([claim], { isDurable: false })
    expect(await store.transaction(async () => completionOf(claim))).toBe('ok')
    expect(moments).toHaveLength(2)
    expect(moments[1]).toEqual(moments[0])
    await store.close()
    await client.close()
  })

  test('of many messages at once each runs its handler once', async () => {
    const client = new MongoClient(server.url)
    const collection = client.db('oncemq_test').collection(`d_${newHex()}`)
    const effects = client.db('oncemq_test').collection(`e_${newHex()}`)
    await effects.insertOne({ key: 'first' })
    const store = new MongoStore<ClientSession>({ collection })
    const dedup = createDeduplicator({ store, consumerGroup: 'many', strategy: 'transactional' })
    let runs = 0
    const handle = async (number: number) => {
      const { status } = await dedup.process({ key: `${number}` }, async ({ tx }) => {
        runs += 1
        await effects.insertOne({ key: number }, { session: tx })
      })
      expect(status).toBe('completed')
    }
    let next = 0
    const worker = async () => {
      while (next < MESSAGES) await handle(next++)
    }
    await Promise.all(Array.from({ length: 32 }, worker))
    expect(runs).toBe(MESSAGES)
    expect(await effects.countDocuments()).toBe(MESSAGES + 1)
    await dedup.close()
    await client.close()
  })
})
