import type { StoreEffects } from '@oncemq/conformance'
import type { ClientSession, Collection } from 'mongodb'
import { MongoClient } from 'mongodb'
import { afterAll } from 'vitest'

/** A database of the tests: collections by name, and rows of the user's own beside the records. */
export interface Database {
  readonly client: MongoClient
  readonly collection: (name: string) => Collection
  readonly effects: StoreEffects<ClientSession>
}

/** Connects to the server as the user of the store does; closed after the tests of this suite. */
export function databaseOn({ url }: { readonly url: string }): Database {
  const client = new MongoClient(url)
  afterAll(() => client.close())
  const database = client.db('oncemq_test')
  const rows = (namespace: string) => database.collection<{ name: string }>(`${namespace}_effects`)
  return {
    client,
    collection: (name) => database.collection(name),
    effects: {
      // A collection that does not exist can be made in a transaction, but then two of them conflict.
      async prepare(namespace) {
        await database.createCollection(`${namespace}_effects`)
      },
      async write(session, namespace, name) {
        await rows(namespace).insertOne({ name }, { session })
      },
      async commit(session) {
        await session.commitTransaction()
      },
      count: (namespace, name) => rows(namespace).countDocuments({ name }),
    },
  }
}
