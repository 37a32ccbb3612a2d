import { StoreError } from '@oncemq/core/store'
import type * as Driver from 'mongodb'
import type { MongoCollection, MongoSession } from './client.ts'
import type { Settings } from './options.ts'

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
  const { MongoClient } = await driver()
  const client = new MongoClient(source.url, {
    appName: 'oncemq',
    // So that an unreachable server is told by its own error, before the call's time is over.
    serverSelectionTimeoutMS: timeoutMs,
  })
  const collection = client.db(source.database).collection(source.name)
  // Whoever gives a URL knows the sessions' type from the same package.
  return { collection: collection as unknown as MongoCollection<Session>, close: () => client.close() }
}

async function driver(): Promise<typeof Driver> {
  try {
    return await import('mongodb')
  } catch (cause) {
    throw new StoreError(
      'ONCEMQ_STORE_REFUSED',
      `MongoStore: expected the package mongodb for { url }, but it cannot be loaded; ` +
        `install mongodb 7, or give a collection of a client that you have`,
      { cause },
    )
  }
}
