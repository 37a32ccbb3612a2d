/**
 * One process of several on a collection, for the tests: `child.ts <role> <url> <collection>`. It speaks by
 * messages: each that it gets starts its role's next step, each that it sends is an observation.
 */
import type { ClaimRequest } from '@oncemq/core/store'
import { MongoStore } from '@oncemq/mongodb'
import type { ClientSession } from 'mongodb'
import { MongoClient } from 'mongodb'
import { claimsOf, completionOf } from '@oncemq/test-stores'
import { play, tell, told } from '@oncemq/test-stores/child'

const BATCH = 64

const [, , , url = '', name = ''] = process.argv
const client = new MongoClient(url)
const database = client.db('oncemq_test')
const store = new MongoStore({ collection: database.collection(name) })

const roles: Readonly<Record<string, () => Promise<void>>> = {
  /** Opens when it is told to, and tells that it did. */
  async open() {
    tell('ready')
    await told()
    await store.open()
    tell('open')
  },

  /** Claims the ids that it is told, one batch after the other, and tells which it got. */
  async claim() {
    await store.open()
    tell('ready')
    for (;;) {
      const batch = await told<ClaimRequest[]>()
      const answers = await store.claim(batch)
      tell(batch.filter((_, position) => answers[position]?.status === 'granted').map(({ id }) => id))
    }
  },

  /** Claims and completes without end, and tells what was completed. */
  async churn() {
    await store.open()
    for (;;) {
      const batch = claimsOf(BATCH)
      await store.claim(batch)
      await store.update(batch.map(completionOf))
      tell(batch.map(({ id }) => id))
    }
  },

  /** Stays for ever in a handler that has written. */
  async transact() {
    await store.open()
    const [claim] = claimsOf(1) as [ClaimRequest]
    await store.claim([claim])
    await store.transaction(async (session: ClientSession) => {
      await database.collection(`${name}_effects`).insertOne({ name: claim.id }, { session })
      tell(claim.id)
      return told()
    })
  },
}

await play(roles)
await client.close()
