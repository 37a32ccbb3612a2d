import { importPeer } from '@oncemq/core/store'
import type { MongoCollection, MongoSession } from './client.ts'
import { STORE } from './errors.ts'
import type { Settings } from './options.ts'

const PEER = Object.freeze({ store: STORE, name: 'mongodb', instead: '{ collection }' })

/** A collection that can be used, and how to end what was opened for it. */
export interface Connection<Session extends MongoSession> {
  readonly collection: MongoCollection<Session>
  close(): Promise<void>
}

/** Gives the injected collection, or one of a client of the store's own. */
export async function connect<Session extends MongoSession>({
  source,
  timeoutMs,
}: Settings<Session>): Promise<Connection<Session>> {
  if ('collection' in source) return { collection: source.collection, close: async () => {} }
  const { MongoClient } = await importPeer(PEER, () => import('mongodb'))
  const client = new MongoClient(source.url, {
    appName: 'oncemq',
    // So that an unreachable server is told by its own error, before the call's time is over.
    serverSelectionTimeoutMS: timeoutMs,
  })
  const collection = client.db(source.database).collection(source.name)
  // Whoever gives a URL knows the sessions' type from the same package.
  return { collection: collection as unknown as MongoCollection<Session>, close: () => client.close() }
}
